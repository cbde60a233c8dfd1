"""What a measured figure says beside a published one: comparable or not and why, reproduced, higher or lower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.report.published import Published, Row

if TYPE_CHECKING:
    from harness.report.table import Cell, Line, RunScores

Z = 1.96
WIDEST = 5.0  # points: agreement within more than this says nothing, unless a set has no more docs
FORMS = {"loglikelihood": "log-likelihoods", "generation": "generated answers"}


def annotate(
    lines: Sequence[Line], entries: Mapping[str, Sequence[Mapping[str, Any] | None]], published: Published,
    runs: Sequence[RunScores], reference: str,
) -> list[Line]:  # fmt: skip
    """Lines with verdicts, footnotes on protocols, and the best of the comparable figures.

    Args:
        lines: the table's lines.
        entries: by title, what each run's ``scores.json`` says of the row.
        published: the table beside which it stands.
        runs: the measured columns.
        reference: the published column that verdicts are on.
    """
    rows = {row.benchmark: row for row in published.rows}
    return [_line(line, entries[line.title], rows.get(line.title), runs, reference) for line in lines]


def _line(
    line: Line, entries: Sequence[Mapping[str, Any] | None], row: Row | None, runs: Sequence[RunScores], reference: str
) -> Line:
    cells: list[Cell | None] = []
    for cell, entry, run in zip(line.measured, entries, runs, strict=True):
        if cell is None or entry is None:
            cells.append(None)
            continue
        why = obstacle(entry, row, run.receipt["model"]["kind"])
        known = replace(
            cell,
            of=entry.get("of"),
            interval=_interval(entry),
            marks=(*cell.marks, *_marks(line.title, entry, row)),
            comparable=why is None and (entry["complete"] or bool(entry.get("precision"))),
        )
        cells.append(replace(known, verdict=verdict(known, row, reference, why)))
    return replace(line, measured=tuple(cells), best=_best(line.published, cells))


def obstacle(entry: Mapping[str, Any], row: Row | None, kind: str) -> str | None:
    """Why a figure cannot stand beside the published row, if it cannot."""
    if row is None:
        return "nothing was published"
    if kind == "instruct":
        return "an instruct model, and the published columns are base models"
    if entry["sample_data"]:
        return "sample docs, not the real set"
    if row.form and entry.get("form") and entry["form"] != row.form:
        return f"{FORMS.get(entry['form'], entry['form'])}, published by {FORMS[row.form]}"
    if entry.get("shots") is not None and row.shots and str(entry["shots"]) != row.shots:
        return f"{entry['shots']} shots, published with {row.shots}"
    if entry.get("other_shots"):
        return "; ".join(f"{name} asked with {shots} shots" for name, shots in entry["other_shots"].items())
    return None


def verdict(cell: Cell, row: Row | None, reference: str, why: str | None) -> str:
    """``reproduced`` within the row's tolerance and the 95 % sampling error of n docs; else higher or lower."""
    if why is not None:
        return f"not comparable: {why}"
    assert row is not None
    figure = row.values[reference]
    if figure is None:
        return f"not comparable: {reference} has no published figure"
    if cell.stderr is None:
        return "not comparable: too few docs for a standard error"
    allowed = row.tolerance + Z * cell.stderr
    if allowed > WIDEST and cell.of is not None and cell.n < cell.of:
        return f"not comparable: {cell.n} of {cell.of} docs leave ±{allowed:.1f}"
    difference = cell.value - figure
    if abs(difference) <= allowed:
        return f"reproduced ({difference:+.1f} within ±{allowed:.1f})"
    return f"{'higher' if difference > 0 else 'lower'} ({difference:+.1f} beyond ±{allowed:.1f})"


def _interval(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """Of a row that stopped early, in points."""
    stopped = entry.get("precision")
    if not stopped or stopped.get("low") is None:
        return None
    unit = 100.0 if entry["unit"] == "share" else 1.0
    return stopped["low"] * unit, stopped["high"] * unit


def _marks(title: str, entry: Mapping[str, Any], row: Row | None) -> list[str]:
    marks = []
    if _interval(entry) is not None:
        marks.append(
            "stopped early; in brackets the 95 % confidence sequence of what all docs would give, valid at any stop"
        )
    shots = entry.get("shots")
    if row is not None and row.shots and shots is not None and str(shots) != row.shots:
        marks.append(f"{title}: asked with {shots} shots, published with {row.shots}")
    other_form = row is not None and row.form and entry.get("form") and entry["form"] != row.form
    if other_form and not entry.get("lettered"):
        assert row is not None
        form = FORMS.get(entry["form"], entry["form"])
        marks.append(f"{title}: measured by {form}, published by {FORMS[row.form]}")
    return marks


def _best(published: Sequence[float | None], cells: Sequence[Cell | None]) -> tuple[int, ...]:
    """Columns, published ones first, with the highest figure as it is shown; none where there is nothing to compare."""
    figures = [*published, *(cell.value if cell is not None and cell.comparable else None for cell in cells)]
    shown = [None if figure is None else round(figure, 1) for figure in figures]
    known = [figure for figure in shown if figure is not None]
    return tuple(i for i, figure in enumerate(shown) if figure == max(known)) if len(known) > 1 else ()


def forms(run: RunScores) -> list[str]:
    """Which rows of a run were measured in which form, as a remark."""
    rows: dict[str, list[str]] = {}
    for entry in run.scores["benchmarks"].values():
        if entry.get("form"):
            rows.setdefault(FORMS.get(entry["form"], entry["form"]), []).append(entry["title"])
    return (
        [f"{run.name}: " + "; ".join(f"{form}: {', '.join(titles)}" for form, titles in rows.items())] if rows else []
    )
