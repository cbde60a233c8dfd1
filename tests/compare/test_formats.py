"""What models wrote does no harm in any format of a comparison."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.compare import Comparison, compare
from harness.report import comparison as report
from harness.report import escape, grid
from tests.compare.support import Row, Task, write_run

LONG = "x" * 1_000_000
EVIL = [
    "<script>alert(1)</script>",
    "a|b\n| c |",
    "\x1b[31mred\x1b[0m\x9b2J",
    "\u202egnp.exe\u2066\u200f",
    "=1+1",
    LONG,
    "\ud800",
]
UNSEEN = {"\x1b", "\x9b", "\u202e", "\u2066", "\u200f"}


@pytest.fixture
def hostile(tmp_path: Path) -> Comparison:
    said = [text.encode("utf-8", "replace").decode() for text in EVIL]
    titled = {"title": "<b>|=SUM(A1)\u202e"}
    n = len(said)
    first = Row({"t": Task([0.0] * n, raw=said, target=said)}, changes=titled)
    second = Row({"t": Task([1.0] * n, raw=said[::-1], target=said)}, changes=titled)
    runs = [write_run(tmp_path / name, {"mmlu": row}) for name, row in (("=1+1", first), ("<i>new|", second))]
    return compare(runs, samples=10)


def test_every_text_of_a_model_is_there(hostile: Comparison) -> None:
    assert len(hostile.pairs[0].flips) == len(EVIL)


@pytest.mark.parametrize("form", ["md", "csv", "latex", "html", "json"])
def test_no_format_carries_what_was_written(hostile: Comparison, form: str) -> None:
    if form == "html":
        pytest.importorskip("great_tables")
    text = report.render(hostile, form)
    assert not UNSEEN & set(text)
    text.encode("utf-8")
    if form != "json":
        assert LONG not in text
        assert max(map(len, text.splitlines())) < 20_000
    if form in ("md", "html"):
        assert "<script>" not in text.replace("\\<script", "")
        assert "<b>" not in text.replace("\\<b", "")
        assert "<i>" not in text.replace("\\<i", "")
    if form == "json":
        data = json.loads(text)
        assert LONG in {flip["first"] for flip in data["pairs"][0]["flips"]}


def test_markdown_keeps_its_columns(hostile: Comparison) -> None:
    for table in report.render(hostile, "md").split("### "):
        rows = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_csv_cells_are_no_formulas(hostile: Comparison) -> None:
    rows = list(csv.reader(io.StringIO(report.render(hostile, "csv"))))
    assert len({len(row) for row in rows}) == 1
    assert rows[1][0] == "'=1+1"
    # a negative number is a number
    assert all(re.fullmatch(r"-?[\d.e-]+", cell) for cell in rows[1] if cell.startswith(("-", "+", "=", "@")))


def test_a_terminal_sees_plain_text(hostile: Comparison) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    for shown in report.grids(hostile):
        console.print(grid.terminal(shown))
    lines = report.flip_text(hostile.pairs[0])
    text = console.export_text() + "\n".join(lines)
    assert not UNSEEN & set(text)
    assert max(map(len, lines)) < 5000


def test_cleaning() -> None:
    assert escape.clean("a\r\nb\tc\u2028d") == "a b c d"
    assert escape.clean(LONG).endswith("… (998,000 more characters)")
    assert escape.csv_cell(" =1") == "' =1"
    assert escape.tex("50% of $x_1 {a}") == r"50\% of \$x\_1 \{a\}"
    assert json.loads(escape.json_text(json.dumps("a\u202eb\n", ensure_ascii=False))) == "a\u202eb\n"
    assert escape.web('"<&') == "&quot;&lt;&amp;"
