"""Tables as text: terminal, Markdown, CSV, JSON, LaTeX and HTML. What a model or a user wrote is escaped in each."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

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
    measured = [title for run in table.runs for title in (run, f"Δ {table.reference}")]
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
    return cells


def figure(table: Table, cell: Cell | None) -> str:
    """``value ± standard error (n = …)`` with its marks."""
    if cell is None:
        return DASH
    error = "" if cell.stderr is None else f" ± {cell.stderr:.1f}"
    marks = "".join(mark(table, text) for text in cell.marks)
    return f"{cell.value:.1f}{error} (n={cell.n}){marks}"


def mark(table: Table, text: str) -> str:
    """The sign of a footnote."""
    place = table.footnotes.index(text)
    return MARKS[place] if place < len(MARKS) else f"({place + 1})"


def notes(table: Table) -> list[str]:
    """Footnotes and remarks, one a line."""
    return [*(f"{mark(table, text)} {text}." for text in table.footnotes), *(f"{text}." for text in table.remarks)]


def clean(text: str) -> str:
    """Without control characters, bidirectional overrides and line breaks."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+", " ", text)


def markdown(table: Table) -> str:
    """A Markdown table, one group after the other."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(_md(cell) for cell in cells) + " |"

    head = heading(table)
    out = [line(head), "|---|" + "---:|" * (len(head) - 1)]
    group = None
    for entry in table.lines:
        if entry.group != group:
            group = entry.group
            out.append(f"| **{_md(group)}** |" + " |" * (len(head) - 1))
        out.append(line(row(table, entry)))
    return "\n".join([*out, "", *(f"{_md(note)}  " for note in notes(table))]) + "\n"


def _md(text: str) -> str:
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", clean(text))


def as_csv(table: Table) -> str:
    """CSV with plain numbers; a cell that a spreadsheet would run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = [f"{run} {part}" for run in table.runs for part in ("value", "stderr", "n", "difference", "notes")]
    writer.writerow([_cell_text(text) for text in ["group", "benchmark", "shots", *table.models, *fields]])
    for entry in table.lines:
        cells: list[object] = [_cell_text(entry.group), _cell_text(entry.title), entry.shots]
        cells += ["" if value is None else value for value in entry.published]
        for cell in entry.measured:
            if cell is None:
                cells += [""] * 5
            else:
                cells += [f"{cell.value:.4f}", "" if cell.stderr is None else f"{cell.stderr:.4f}", cell.n]
                cells += ["" if cell.difference is None else f"{cell.difference:.4f}", "; ".join(cell.marks)]
        writer.writerow(cells)
    return out.getvalue()


def _cell_text(text: str) -> str:
    text = clean(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def as_json(table: Table) -> str:
    """The table as data."""
    return json.dumps(asdict(table), ensure_ascii=False, indent=1) + "\n"


def latex(table: Table) -> str:
    """A booktabs tabular with its notes below."""
    head = heading(table)
    out = [f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", "\\toprule"]
    out += [" & ".join(_tex(cell) for cell in head) + " \\\\", "\\midrule"]
    group = None
    for entry in table.lines:
        if entry.group != group:
            group = entry.group
            out.append(f"\\multicolumn{{{len(head)}}}{{l}}{{\\textit{{{_tex(group)}}}}} \\\\")
        out.append(" & ".join(_tex(cell) for cell in row(table, entry)) + " \\\\")
    out += ["\\bottomrule", "\\end{tabular}", *(f"\\par\\footnotesize {_tex(note)}" for note in notes(table))]
    return "\n".join(out) + "\n"


TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
TEX |= {c: f"\\{c}" for c in "&%$#_"} | {"±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "†": r"\dag{}", "‡": r"\ddag{}"}


def _tex(text: str) -> str:
    return "".join(TEX.get(c, c) for c in clean(text))


def as_html(table: Table) -> str:
    """A plain HTML table, without style."""

    def cells(tag: str, texts: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(clean(text))}</{tag}>" for text in texts) + "</tr>"

    out = ["<table>", "<thead>", cells("th", heading(table)), "</thead>", "<tbody>"]
    group = None
    for entry in table.lines:
        if entry.group != group:
            group = entry.group
            out.append(f'<tr><th colspan="{len(heading(table))}">{html.escape(group)}</th></tr>')
        out.append(cells("td", row(table, entry)))
    out += ["</tbody>", "</table>", *(f"<p>{html.escape(clean(note))}</p>" for note in notes(table))]
    return "\n".join(out) + "\n"


def terminal(table: Table) -> RichTable:
    """For rich's console."""
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(header_style="bold", title_justify="left")
    for i, title in enumerate(heading(table)):
        made.add_column(Text(clean(title)), justify="left" if i == 0 else "right")
    group = None
    for entry in table.lines:
        if entry.group != group:
            if group is not None:
                made.add_section()
            group = entry.group
            made.add_row(Text(group, style="bold cyan"))
        made.add_row(*(Text(clean(cell)) for cell in row(table, entry)))
    return made
