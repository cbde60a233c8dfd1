"""A table of texts in groups, with notes below: one writer a format, all of them escaping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report import escape

if TYPE_CHECKING:
    from rich.table import Table as RichTable

GOOD, BAD = "good", "bad"
STYLES = {GOOD: "green", BAD: "red"}


@dataclass(frozen=True)
class Text:
    """A cell."""

    text: str
    """What it says; escaped when it is written."""
    bold: bool = False
    """Whether it stands out."""
    tone: str | None = None
    """``good`` or ``bad``, where a format has colours."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    cells: tuple[Text, ...]
    """One a column."""
    group: str = ""
    """The heading that it stands under; none where empty."""


@dataclass(frozen=True)
class Grid:
    """The whole table."""

    head: tuple[str, ...]
    """Column titles."""
    rows: tuple[Row, ...]
    """Lines; those of a group are adjacent."""
    notes: tuple[str, ...] = ()
    """Below the table, one a line."""
    title: str = ""
    """Above it."""


def markdown(grid: Grid) -> str:
    """A Markdown table, one group after the other."""
    out = [f"### {escape.markdown(grid.title)}", ""] if grid.title else []
    out += ["| " + " | ".join(map(escape.markdown, grid.head)) + " |", "|---|" + "---:|" * (len(grid.head) - 1)]
    group = ""
    for row in grid.rows:
        if row.group != group:
            group = row.group
            out.append(f"| **{escape.markdown(group)}** |" + " |" * (len(grid.head) - 1))
        cells = [f"**{escape.markdown(c.text)}**" if c.bold else escape.markdown(c.text) for c in row.cells]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join([*out, "", *(f"{escape.markdown(note)}  " for note in grid.notes)]) + "\n"


def latex(grid: Grid) -> str:
    """A booktabs tabular with its notes below."""
    width = len(grid.head)
    out = [f"\\textbf{{{escape.tex(grid.title)}}}\\par"] if grid.title else []
    out += [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule"]
    out += [" & ".join(map(escape.tex, grid.head)) + " \\\\", "\\midrule"]
    group = ""
    for row in grid.rows:
        if row.group != group:
            group = row.group
            out.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape.tex(group)}}}}} \\\\")
        cells = [f"\\textbf{{{escape.tex(c.text)}}}" if c.bold else escape.tex(c.text) for c in row.cells]
        # a bracket after a line break would be read as its length
        out.append("{} " * cells[0].startswith("[") + " & ".join(cells) + " \\\\")
    out += ["\\bottomrule", "\\end{tabular}", *(f"\\par\\footnotesize {escape.tex(note)}" for note in grid.notes)]
    return "\n".join(out) + "\n"


def terminal(grid: Grid) -> RichTable:
    """For rich's console."""
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    title = RichText(escape.clean(grid.title), style="bold") if grid.title else None
    made = RichTable(title=title, header_style="bold", title_justify="left")
    for i, head in enumerate(grid.head):
        made.add_column(RichText(escape.clean(head)), justify="left" if i == 0 else "right")
    group = ""
    for row in grid.rows:
        if row.group != group:
            if group:
                made.add_section()
            group = row.group
            made.add_row(RichText(escape.clean(group), style="bold cyan"))
        styles = [" ".join(["bold"] * cell.bold + [STYLES.get(cell.tone or "", "")]).strip() for cell in row.cells]
        made.add_row(*(RichText(escape.clean(c.text), style=s) for c, s in zip(row.cells, styles, strict=True)))
    return made


def web(grid: Grid) -> str:
    """An HTML table that needs nothing beside it."""
    import pandas as pd
    from great_tables import GT, loc, style
    from great_tables import html as as_is

    names = [f"c{i}" for i in range(len(grid.head))]
    frame = pd.DataFrame([[escape.clean(c.text) for c in row.cells] for row in grid.rows], columns=names, dtype=object)
    grouped = any(row.group for row in grid.rows)
    if grouped:
        # an own column of the group names: great_tables takes it out of the body again
        frame["group"] = [escape.clean(row.group) for row in grid.rows]
    made = GT(frame, groupname_col="group" if grouped else None, id="harness")
    made = made.cols_label({name: as_is(escape.web(head)) for name, head in zip(names, grid.head, strict=True)})
    made = made.cols_align("left", columns=names[:1]).cols_align("right", columns=names[1:])
    for i, name in enumerate(names):
        bold = [n for n, row in enumerate(grid.rows) if row.cells[i].bold]
        if bold:
            made = made.tab_style(style.text(weight="bold"), loc.body(columns=name, rows=bold))
        for tone, colour in ((GOOD, "#176b2c"), (BAD, "#a31515")):
            toned = [n for n, row in enumerate(grid.rows) if row.cells[i].tone == tone]
            if toned:
                made = made.tab_style(style.text(color=colour), loc.body(columns=name, rows=toned))
    if grid.title:
        made = made.tab_header(as_is(escape.web(grid.title)))
    for note in grid.notes:
        made = made.tab_source_note(as_is(escape.web(note)))
    return str(made.as_raw_html()) + "\n"
