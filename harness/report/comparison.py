"""Comparisons as text: terminal, Markdown, CSV, JSON, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields

from harness.compare.compare import Comparison, Difference, Pair
from harness.report import escape, grid
from harness.report.grid import BAD, GOOD, Grid, Row, Text

DASH = "–"
TONES = {"better": GOOD, "worse": BAD}


def render(comparison: Comparison, form: str) -> str:
    """The comparison in one of md, csv, json, latex and html."""
    if form == "csv":
        return as_csv(comparison)
    if form == "json":
        return as_json(comparison)
    writer = {"md": grid.markdown, "latex": grid.latex, "html": grid.web}[form]
    listed = [flip_grid(pair) for pair in comparison.pairs if pair.flips]
    return "\n".join(map(writer, [*grids(comparison), *listed]))


def grids(comparison: Comparison) -> list[Grid]:
    """What is shown: an overview of several pairs, then each pair in full (a matrix is all overview)."""
    if comparison.matrix and len(comparison.runs) > 2:
        return [matrix_grid(comparison)]
    overview = [overview_grid(comparison)] if len(comparison.pairs) > 1 else []
    return [*overview, *(pair_grid(pair, comparison.margin) for pair in comparison.pairs)]


def pair_grid(pair: Pair, margin: float) -> Grid:
    """All figures of one pair."""
    head = (
        "Benchmark", pair.first, pair.second, "Difference", "95 % interval", "Docs", "Lost / gained", "p (Holm)",
        "Detectable", f"Docs for {margin:g}", "Verdict",
    )  # fmt: skip
    rows = []
    for row in pair.rows:
        cells = [
            Text(row.title),
            Text(f"{row.first:.1f}"),
            Text(f"{row.second:.1f}"),
            Text(f"{row.difference:+.1f}" + ("" if row.stderr is None else f" ± {row.stderr:.1f}")),
            Text(_interval(row)),
            Text(f"{row.n:,}"),
            Text(DASH if row.gained is None else f"{row.lost:,} / {row.gained:,}"),
            Text(_p(row.p_adjusted)),
            Text(DASH if row.detectable is None else f"{row.detectable:.1f}"),
            Text(DASH if row.docs_for_margin is None else f"{row.docs_for_margin:,}"),
            Text(row.verdict, bold=row.verdict in TONES, tone=TONES.get(row.verdict)),
        ]
        rows.append(Row(tuple(cells)))
    return Grid(head, tuple(rows), tuple(_notes(pair)), f"{pair.second} against {pair.first}")


def _notes(pair: Pair) -> list[str]:
    notes = [f"Different protocols, compared all the same: {text}." for text in pair.differs]
    methods: dict[str, list[str]] = {}
    for row in pair.rows:
        methods.setdefault(row.test, []).append(row.title)
    notes += [f"{method[:1].upper()}{method[1:]}: {', '.join(titles)}." for method, titles in methods.items()]
    tested = sum(row.p is not None for row in pair.rows)
    notes.append(
        f"P-values are corrected for {tested} row{'s' if tested != 1 else ''} (Holm); intervals are not. "
        "Detectable: the smallest true difference that this many docs show with a power of 80 %."
    )
    notes += [f"{row.title}: {row.reason}." for row in pair.rows if row.verdict == "too few docs"]
    for row in pair.rows:
        if row.n < max(row.asked):
            notes.append(f"{row.title}: {row.n:,} docs in common, of {row.asked[0]:,} and {row.asked[1]:,}.")
        if row.units < row.n:
            notes.append(f"{row.title}: {row.n:,} docs come from {row.units:,} passages or problems.")
    for name, titles in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
        if titles:
            notes.append(f"Only in {name}: {', '.join(titles)}.")
    return notes


def overview_grid(comparison: Comparison) -> Grid:
    """One baseline and the others' differences to it."""
    base = comparison.pairs[0].first
    titles = list(dict.fromkeys(row.title for pair in comparison.pairs for row in pair.rows))
    rows = []
    for title in titles:
        found = [next((row for row in pair.rows if row.title == title), None) for pair in comparison.pairs]
        value = next((row.first for row in found if row is not None), None)
        cells = [Text(title), Text(DASH if value is None else f"{value:.1f}"), *(_short(row) for row in found)]
        rows.append(Row(tuple(cells)))
    head = ("Benchmark", base, *(pair.second for pair in comparison.pairs))
    return Grid(head, tuple(rows), (), f"Differences to {base}")


def matrix_grid(comparison: Comparison) -> Grid:
    """Every run (line) against every other (column), benchmark by benchmark."""
    pairs = {(pair.first, pair.second): pair for pair in comparison.pairs}
    titles = list(dict.fromkeys(row.title for pair in comparison.pairs for row in pair.rows))
    rows = []
    for title in titles:
        for line in comparison.runs:
            cells = [Text(line)]
            for column in comparison.runs:
                pair, sign = pairs.get((column, line)), 1
                if pair is None:
                    pair, sign = pairs.get((line, column)), -1
                row = next((row for row in pair.rows if row.title == title), None) if pair else None
                cells.append(_short(row, sign))
            rows.append(Row(tuple(cells), title))
    notes = list(dict.fromkeys(note for pair in comparison.pairs for note in _differing(pair)))
    notes.append("A line's run against a column's. P-values are corrected over each pair's rows (Holm).")
    return Grid(("Run", *comparison.runs), tuple(rows), tuple(notes), "Every run against every other")


def _differing(pair: Pair) -> list[str]:
    return [f"{pair.first} / {pair.second}: different protocols: {text}." for text in pair.differs]


def _short(row: Difference | None, sign: int = 1) -> Text:
    if row is None:
        return Text(DASH)
    verdict = row.verdict
    if sign < 0 and verdict in TONES:
        verdict = "worse" if verdict == "better" else "better"
    return Text(f"{sign * row.difference:+.1f} {verdict}", bold=verdict in TONES, tone=TONES.get(verdict))


def _interval(row: Difference) -> str:
    return DASH if row.low is None or row.high is None else f"{row.low:+.1f} to {row.high:+.1f}"


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def flip_grid(pair: Pair) -> Grid:
    """Docs that one run has right and the other wrong."""
    first, second = pair.first, pair.second
    head = ("Doc", "Prompt", "Target", first, second)
    rows = []
    for flip in pair.flips:
        side = f"{flip.row}: only {second if flip.won else first} is right"
        texts = (
            f"{flip.task} {flip.doc_id}",
            DASH if flip.prompt is None else flip.prompt[-PROMPT_END:],
            flip.target,
            *(f"{taken} ← {said}" for taken, said in zip(flip.taken, (flip.first, flip.second), strict=True)),
        )
        rows.append(Row(tuple(Text(text) for text in texts), side))
    return Grid(head, tuple(rows), (), f"Docs on which {first} and {second} differ")


PROMPT_END = 1500  # characters: the question stands at the end, after its few-shots


def flip_text(pair: Pair) -> list[str]:
    """The same for a terminal, a block a doc."""
    first, second = pair.first, pair.second
    lines = []
    for flip in pair.flips:
        winner = second if flip.won else first
        lines.append(escape.clean(f"── {flip.row} · {flip.task} {flip.doc_id} · only {winner} is right"))
        parts = (
            ("prompt", DASH if flip.prompt is None else flip.prompt[-PROMPT_END:]),
            ("target", flip.target),
            (first, f"{flip.taken[0]} ← {flip.first}"),
            (second, f"{flip.taken[1]} ← {flip.second}"),
        )
        for name, text in parts:
            shown = [escape.clean(line) for line in text[: escape.LONGEST].splitlines() or [""]]
            lines.append(f"  {escape.clean(name)}: {shown[0]}")
            lines += [f"    {line}" for line in shown[1:]]
            if len(text) > escape.LONGEST:
                lines.append(f"    … ({len(text) - escape.LONGEST:,} more characters)")
    return lines


def as_csv(comparison: Comparison) -> str:
    """One line a pair and row, with plain numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Difference) if field.name not in ("first", "second", "asked")]
    writer.writerow(["baseline", "run", "baseline_value", "run_value", *names, "protocols_differ"])
    for pair in comparison.pairs:
        for row in pair.rows:
            values = [getattr(row, name) for name in names]
            cells = [escape.csv_cell(v) if isinstance(v, str) else "" if v is None else v for v in values]
            head = [escape.csv_cell(pair.first), escape.csv_cell(pair.second), row.first, row.second]
            differs = "; ".join(text for text in pair.differs if text.startswith(f"{row.title}: "))
            writer.writerow([*head, *cells, escape.csv_cell(differs)])
    return out.getvalue()


def as_json(comparison: Comparison) -> str:
    """Everything as data."""
    return escape.json_text(json.dumps(asdict(comparison), ensure_ascii=False, indent=1)) + "\n"
