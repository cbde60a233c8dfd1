"""Charts as SVG by Vega-Lite: measured beside published, benchmark by benchmark and group by group.

Colours are the page's own CSS variables, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.report.escape import clean
from harness.report.judge import Z
from harness.report.table import Cell, Line, Table

VEGA_LITE = "5.21"
NARROW = 190  # pixels of the plot itself
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down")
LONGEST = 100  # characters of a title; the drawing program dies of control characters, so none may come to it
LABEL = 190  # pixels: a longer title of a row is cut, with three dots


@dataclass(frozen=True)
class Chart:
    """A drawing in two widths."""

    title: str
    """What it shows."""
    wide: str
    """SVG for a screen or paper."""
    narrow: str
    """SVG for a phone."""
    text: str
    """The same in words."""


@dataclass(frozen=True)
class Dot:
    """One figure."""

    panel: str
    """The heading it stands under."""
    row: str
    """Its line."""
    kind: str
    """``run``, ``reference`` or ``published``."""
    series: int
    """The run's number, from 0."""
    value: float
    """In percent or points."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Its upper end."""
    full: bool = True
    """Whether it may stand beside the published figures: full or hollow."""


def benchmark_chart(table: Table) -> Chart | None:
    """Every measured row, with 95 % intervals, beside the published figures; None where nothing was measured."""
    dots = []
    for line in table.lines:
        if not any(line.measured):
            continue
        dots += _published(table, line, line.group, line.title)
        for run, cell in enumerate(line.measured):
            if cell is not None:
                low, high = interval(cell)
                dots.append(Dot(line.group, line.title, "run", run, cell.value, low, high, cell.comparable))
    return _chart("Each benchmark, with 95 % intervals", dots, table, 560)


def group_chart(table: Table) -> Chart | None:
    """The mean of each group, over those of its rows that every run has measured; published figures likewise."""
    dots = []
    for group in dict.fromkeys(line.group for line in table.lines):
        own = [line for line in table.lines if line.group == group and not line.part_of]
        cells = {line.title: [cell for cell in line.measured if cell is not None] for line in own}
        common = [line for line in own if cells[line.title] and len(cells[line.title]) == len(line.measured)]
        if not common:
            continue
        name = f"{group} ({len(common)} of {len(own)})" if len(common) < len(own) else group
        for place, model in enumerate(table.models):
            figures = [line.published[place] for line in common]
            known = [figure for figure in figures if figure is not None]
            if len(known) == len(figures):
                kind = "reference" if model == table.reference else "published"
                dots.append(Dot("", name, kind, 0, sum(known) / len(known)))
        for run in range(len(table.runs)):
            measured = [cells[line.title][run] for line in common]
            value = sum(cell.value for cell in measured) / len(measured)
            dots.append(Dot("", name, "run", run, value, full=all(cell.comparable for cell in measured)))
    return _chart("Mean of each group, over the rows that every run has", dots, table, 300)


def interval(cell: Cell) -> tuple[float | None, float | None]:
    """The 95 % interval of a figure: its own where it stopped early, else 1.96 standard errors."""
    if cell.interval is not None:
        return cell.interval
    if cell.stderr is None:
        return None, None
    return max(0.0, cell.value - Z * cell.stderr), min(100.0, cell.value + Z * cell.stderr)


def _published(table: Table, line: Line, panel: str, row: str) -> list[Dot]:
    return [
        Dot(panel, row, "reference" if model == table.reference else "published", 0, value)
        for model, value in zip(table.models, line.published, strict=True)
        if value is not None
    ]


def _chart(title: str, dots: Sequence[Dot], table: Table, width: int) -> Chart | None:
    if not any(dot.kind == "run" for dot in dots):
        return None
    wide, narrow = (_svg(_spec(dots, each, len(table.runs))) for each in (width, NARROW))
    return Chart(title, wide, narrow, _words(dots, table))


def _words(dots: Sequence[Dot], table: Table) -> str:
    rows: dict[str, list[str]] = {}
    for dot in dots:
        if dot.kind != "published":
            name = table.reference if dot.kind == "reference" else table.runs[dot.series]
            rows.setdefault(dot.row, []).append(f"{name} {dot.value:.1f}")
    return "; ".join(f"{row}: {', '.join(said)}" for row, said in rows.items())


def _spec(dots: Sequence[Dot], width: int, runs: int) -> dict[str, Any]:
    values = [asdict(dot) | {"row": clean(dot.row, LONGEST), "panel": clean(dot.panel, LONGEST)} for dot in dots]
    panels = list(dict.fromkeys(str(value["panel"]) for value in values))
    layers = [
        _layer("datum.kind == 'published'", {"type": "tick", "thickness": 2, "size": 10, "color": "var(--faint)"}),
        _layer(
            "datum.kind == 'reference'",
            {"type": "point", "shape": "diamond", "filled": False, "size": 80, "strokeWidth": 1.6,
             "stroke": "var(--ink)", "opacity": 1},
        ),
        _layer(
            "datum.kind == 'run' && isValid(datum.low)", {"type": "rule", "strokeWidth": 2, "opacity": 0.75},
            {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}, "stroke": _colour(),
             **_offset(runs)},
        ),
        _layer(
            "datum.kind == 'run'", {"type": "point", "size": 55, "opacity": 1, "strokeWidth": 1.8},
            {
                "fill": {"condition": {"test": "!datum.full", "value": "var(--paper)"}, **_colour()},
                "stroke": _colour(),
                "shape": {"field": "series", "type": "nominal", "legend": None,
                          "scale": {"domain": list(range(runs)), "range": [shape(i) for i in range(runs)]}},
                **_offset(runs),
            },
        ),
    ]  # fmt: skip
    rows = [
        _panel(panel, [value for value in values if value["panel"] == panel], layers, width, runs, panel == panels[-1])
        for panel in panels
    ]
    # all panels' plots begin at one place: their labels get the room of the longest
    room = min(LABEL, 8 * max(len(dot.row) for dot in dots)) + 12
    axis = {**CONFIG["axis"], "minExtent": room}
    return {"vconcat": rows, "spacing": 12, "config": {**CONFIG, "axisY": axis}}


def _panel(
    title: str, values: Sequence[dict[str, Any]], layers: Sequence[dict[str, Any]], width: int, runs: int, last: bool
) -> dict[str, Any]:
    return {
        "title": title or None,
        "data": {"values": values},
        "width": width,
        "height": {"step": max(26, 11 * runs), "for": "position"},
        "encoding": {
            "x": {"field": "value", "type": "quantitative", "title": None, "scale": {"domain": [0, 100]},
                  "axis": {"tickCount": 5, "domain": False, "ticks": False, "labels": last}},
            "y": {"field": "row", "type": "nominal", "title": None, "sort": None,
                  "axis": {"domain": False, "ticks": False, "labelPadding": 10, "labelLimit": LABEL}},
        },
        "layer": layers,
    }  # fmt: skip


def _layer(test: str, mark: dict[str, Any], encoding: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"transform": [{"filter": test}], "mark": {**mark, "aria": False}, "encoding": encoding or {}}


def _colour() -> dict[str, Any]:
    # ten colours are in the style sheet; more runs begin again, with other shapes
    domain = list(range(50))
    return {"field": "series", "type": "nominal", "legend": None,
            "scale": {"domain": domain, "range": [f"var(--run-{i % 10})" for i in domain]}}  # fmt: skip


def _offset(runs: int) -> dict[str, Any]:
    if runs == 1:
        return {}
    return {"yOffset": {"field": "series", "type": "nominal", "scale": {"domain": list(range(runs))}}}


def shape(run: int) -> str:
    """The mark of a run."""
    return SHAPES[run % len(SHAPES)]


CONFIG: dict[str, Any] = {
    "background": None,
    # browsers' own fonts can be wider than those that the drawing was measured with
    "padding": {"left": 24, "right": 12, "top": 4, "bottom": 4},
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelColor": "var(--ink)", "labelFontSize": 13, "gridColor": "var(--rule)"},
    "axisX": {"labelColor": "var(--muted)", "labelFontSize": 12},
    "title": {"color": "var(--muted)", "fontSize": 13, "anchor": "start", "frame": "group", "offset": 6},
}  # fmt: skip


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    # the page says the same in words: screen readers skip the drawing and its hundreds of parts
    drawn = re.sub(r' (?:role|aria-[a-z]+|class)="[^"]*"', "", drawn)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
