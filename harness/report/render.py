"""Tables as text: terminal, Markdown, CSV, JSON, LaTeX and HTML. What a model or a user wrote is escaped in each."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from harness.report import grid
from harness.report.escape import csv_cell, json_text
from harness.report.grid import BAD, GOOD, Grid, Row, Text
from harness.report.table import Cell, Line, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

FORMATS = ("md", "csv", "json", "latex", "html")
DASH = "–"
MARKS = "*†‡§¶#"


def render(table: Table, form: str) -> str:
    """The table in one of ``FORMATS``."""
    writers = {"md": markdown, "csv": as_csv, "json": as_json, "latex": latex, "html": as_html}
    return writers[form](table)


def heading(table: Table) -> list[str]:
    """Column titles."""
    more = ("Verdict",) if table.verdicts else ()
    measured = [title for run in table.runs for title in (run, f"Δ {table.reference}", *more)]
    return ["Benchmark", "Shots", *table.models, *measured]


def row(table: Table, line: Line) -> list[str]:
    """One line's cells as plain text."""
    cells = [
        f"· {line.title}" if line.part_of else line.title,
        line.shots or DASH,
        *(DASH if v is None else f"{v:.1f}" for v in line.published),
    ]
    for cell in line.measured:
        cells += [figure(table, cell), DASH if cell is None or cell.difference is None else f"{cell.difference:+.1f}"]
        if table.verdicts:
            cells.append(DASH if cell is None else cell.verdict)
    return cells


def figure(table: Table, cell: Cell | None) -> str:
    """``value ± standard error (n=… of …)`` with its marks; its interval instead of the error if it stopped early."""
    if cell is None:
        return DASH
    error = "" if cell.stderr is None else f" ± {cell.stderr:.1f}"
    if cell.interval is not None:
        error = f" [{cell.interval[0]:.1f}, {cell.interval[1]:.1f}]"
    of = f" of {cell.of}" if cell.of is not None and cell.of > cell.n else ""
    marks = "".join(mark(table, text) for text in cell.marks)
    return f"{cell.value:.1f}{error} (n={cell.n}{of}){marks}"


def mark(table: Table, text: str) -> str:
    """The sign of a footnote."""
    place = table.footnotes.index(text)
    return MARKS[place] if place < len(MARKS) else f"({place + 1})"


def notes(table: Table) -> list[str]:
    """Footnotes and remarks, one a line."""
    return [*(f"{mark(table, text)} {text}." for text in table.footnotes), *(f"{text}." for text in table.remarks)]


def as_grid(table: Table) -> Grid:
    """The table as texts, the best of each row bold."""
    rows = []
    each = 3 if table.verdicts else 2
    for line in table.lines:
        # title and shots, then published columns, then the cells of each run
        places = {
            2 + i if i < len(table.models) else 2 + len(table.models) + each * (i - len(table.models))
            for i in line.best
        }
        cells = [Text(text, i in places, _tone(text)) for i, text in enumerate(row(table, line))]
        rows.append(Row(tuple(cells), line.group))
    return Grid(tuple(heading(table)), tuple(rows), tuple(notes(table)))


def _tone(text: str) -> str | None:
    word = text.split(" ", 1)[0]
    return {"reproduced": GOOD, "lower": BAD}.get(word)


def markdown(table: Table) -> str:
    """A Markdown table, one group after the other."""
    return grid.markdown(as_grid(table))


def latex(table: Table) -> str:
    """A booktabs tabular with its notes below."""
    return grid.latex(as_grid(table))


def as_html(table: Table) -> str:
    """An HTML table that needs nothing beside it."""
    return grid.web(as_grid(table))


def terminal(table: Table) -> RichTable:
    """For rich's console; with verdicts, of the published columns only the one that they are on."""
    return grid.terminal(as_grid(_narrow(table) if table.verdicts else table))


def _narrow(table: Table) -> Table:
    place, columns = table.models.index(table.reference), len(table.models)
    lines = []
    for line in table.lines:
        best = tuple(0 if i == place else i - columns + 1 for i in line.best if i == place or i >= columns)
        lines.append(replace(line, published=(line.published[place],), best=best))
    return replace(table, models=(table.reference,), lines=tuple(lines))


def as_csv(table: Table) -> str:
    """CSV with plain numbers; a cell that a spreadsheet would run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("value", "stderr", "n", "of", "difference", "verdict", "notes")
    fields = [f"{run} {part}" for run in table.runs for part in parts]
    writer.writerow([csv_cell(text) for text in ["group", "benchmark", "shots", *table.models, *fields, "best"]])
    columns = [*table.models, *table.runs]
    for entry in table.lines:
        cells: list[object] = [csv_cell(entry.group), csv_cell(entry.title), csv_cell(entry.shots)]
        cells += ["" if value is None else value for value in entry.published]
        for cell in entry.measured:
            if cell is None:
                cells += [""] * len(parts)
            else:
                cells += [f"{cell.value:.4f}", "" if cell.stderr is None else f"{cell.stderr:.4f}", cell.n]
                cells += ["" if cell.of is None else cell.of]
                cells += ["" if cell.difference is None else f"{cell.difference:.4f}"]
                cells += [csv_cell(cell.verdict), csv_cell("; ".join(cell.marks))]
        writer.writerow([*cells, csv_cell("; ".join(columns[i] for i in entry.best))])
    return out.getvalue()


def as_json(table: Table) -> str:
    """The table as data."""
    return json_text(json.dumps(asdict(table), ensure_ascii=False, indent=1)) + "\n"
