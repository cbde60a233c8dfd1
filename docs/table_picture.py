"""Write docs/table.svg, the picture in the README: python docs/table_picture.py results/runs/NAME"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from harness.report import load_published, make_table
from harness.report.render import notes, terminal
from harness.report.table import read_run

table = make_table(load_published(), [read_run(Path(sys.argv[1]))], "Qwen2-72B")
console = Console(record=True, width=150, file=io.StringIO())
console.print(terminal(table))
for note in notes(table):
    console.print(note, markup=False, highlight=False)
svg = console.export_svg(title=f"harness table {sys.argv[1]}")
# without the font that rich would fetch from the network: any monospaced one will do
svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
Path(__file__).with_name("table.svg").write_text(svg, encoding="utf-8")
