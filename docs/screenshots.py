"""Write docs/table.svg and docs/report.png, the pictures in the README: python docs/screenshots.py RUN

RUN is a run of the quickstart suite on sample docs. The pictures show figures and no text of any doc.
"""

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from harness.report import load_published, make_table
from harness.report.page import write_page
from harness.report.render import notes, terminal
from harness.report.table import read_run

HERE = Path(__file__).parent


def table_picture(run: Path) -> None:
    """The terminal's table."""
    table = make_table(load_published(), [read_run(run)], "Qwen2-72B")
    console = Console(record=True, width=150, file=io.StringIO())
    console.print(terminal(table))
    for note in notes(table):
        console.print(note, markup=False, highlight=False)
    svg = console.export_svg(title=f"harness table results/runs/{run.name}")
    # without the font that rich would fetch from the network: any monospaced one will do
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    (HERE / "table.svg").write_text(svg, encoding="utf-8")


def page_picture(run: Path) -> None:
    """The top of the page, as a browser shows it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: no Chromium is installed.\n       make toolchains")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "report.html"
        write_page([run], page_file)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1150})
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.screenshot(path=HERE / "report.png")
        browser.close()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]).resolve()
    table_picture(chosen)
    page_picture(chosen)
