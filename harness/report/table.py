"""The published table with measured columns beside it, as data; ``harness.report.render`` writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.report.judge import annotate, forms
from harness.report.published import Published

UNPARSED_NOTED = 0.01


@dataclass(frozen=True)
class Cell:
    """A measured figure."""

    value: float
    """Percent (or BLEU points)."""
    stderr: float | None
    """In the same unit."""
    n: int
    """Docs asked."""
    difference: float | None
    """To the reference column; None where that one has no figure, or ours is of sample docs."""
    marks: tuple[str, ...]
    """Footnotes, by text."""
    of: int | None = None
    """Docs that there are."""
    interval: tuple[float, float] | None = None
    """Of a row that stopped early, in the same unit."""
    verdict: str = ""
    """On the reference column's figure."""
    comparable: bool = False
    """Whether it may be the best of its row."""


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    group: str
    """Its group; ``Other`` for tasks that the published table does not have."""
    title: str
    """The benchmark."""
    shots: str
    """Few-shot docs, as published or as asked."""
    published: tuple[float | None, ...]
    """Percent, one a published column."""
    measured: tuple[Cell | None, ...]
    """One a run; None for what was not measured."""
    part_of: str | None = None
    """The row above that this one is a member of."""
    best: tuple[int, ...] = ()
    """Columns with the highest of the comparable figures; published columns come first."""


@dataclass(frozen=True)
class Table:
    """The whole table."""

    models: tuple[str, ...]
    """The published columns."""
    runs: tuple[str, ...]
    """The measured columns."""
    reference: str
    """The published column that differences are taken to."""
    lines: tuple[Line, ...]
    """The rows, in the published order."""
    footnotes: tuple[str, ...]
    """What the marks mean, in order."""
    remarks: tuple[str, ...] = ()
    """About whole columns."""
    verdicts: bool = False
    """Whether verdicts are shown."""


@dataclass(frozen=True)
class RunScores:
    """What a table needs of a run."""

    name: str
    """The run's name."""
    receipt: dict[str, Any]
    """``receipt.json``."""
    scores: dict[str, Any]
    """``scores.json``."""


def read_run(folder: Path) -> RunScores:
    """A run folder's receipt and scores.

    Raises:
        UserError: it is not a scored run.
    """
    for name in ("receipt.json", "scores.json"):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} is not a finished run: it has no {name}.",
                "Give a folder below results/runs, or finish the run with harness eval.",
            )
    receipt = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return RunScores(folder.resolve().name, receipt, scores)


def make_table(published: Published, runs: Sequence[RunScores], reference: str, *, verdicts: bool = False) -> Table:
    """Published columns and one measured column a run.

    Raises:
        UserError: no published column has the reference's name.
    """
    models = tuple(column.model for column in published.columns)
    if reference not in models:
        raise UserError(
            f"table.reference = {reference}, which is no published column.", did_you_mean(reference, models)
        )
    lines = []
    for row in published.rows:
        baseline = row.values[reference]
        cells = tuple(_cell(_by_title(run, row.benchmark), baseline) for run in runs)
        lines.append(Line(row.group, row.benchmark, row.shots, tuple(row.values[m] for m in models), cells))
    known = {row.benchmark: row.group for row in published.rows}
    others = {b["title"]: b for run in runs for b in run.scores["benchmarks"].values() if b["title"] not in known}
    for title, spec in others.items():
        cells = tuple(_cell(_by_title(run, title), None) for run in runs)
        whole = spec.get("part_of")
        line = Line(known.get(whole, "Other"), title, str(spec["shots"]), (None,) * len(models), cells, whole)
        # a member stands below its row, after those that stand there already
        places = [i for i, other in enumerate(lines) if whole and whole in (other.title, other.part_of)]
        lines.insert(places[-1] + 1 if places else len(lines), line)
    entries = {line.title: [_by_title(run, line.title) for run in runs] for line in lines}
    lines = annotate(lines, entries, published, runs, reference)
    marks = [mark for line in lines for cell in line.measured if cell for mark in cell.marks]
    return Table(
        models,
        tuple(run.name for run in runs),
        reference,
        tuple(lines),
        tuple(dict.fromkeys(marks)),
        tuple(remark for run in runs for remark in [*_remarks(run), *forms(run)]),
        verdicts,
    )


def _by_title(run: RunScores, title: str) -> dict[str, Any] | None:
    return next((b for b in run.scores["benchmarks"].values() if b["title"] == title), None)


def _cell(scores: dict[str, Any] | None, baseline: float | None) -> Cell | None:
    if scores is None:
        return None
    unit = 100.0 if scores["unit"] == "share" else 1.0
    value = scores["value"] * unit
    marks = []
    if scores["sample_data"]:
        marks.append("sample docs made for this project, not the real set: no figure to compare")
    elif not scores["complete"]:
        marks.append("only part of the docs was asked (n says how many)")
    if scores.get("failed"):
        marks.append("some docs have no answer (failed.parquet of the run says why) and are left out")
    if scores.get("lettered"):
        marks.append("a letter was generated where the protocol compares log-likelihoods")
    if scores["unparsed"] > UNPARSED_NOTED:
        marks.append("no answer was found in more than 1 % of the outputs")
    return Cell(
        value,
        None if scores["stderr"] is None else scores["stderr"] * unit,
        scores["n"],
        None if baseline is None or scores["sample_data"] else value - baseline,
        tuple(marks),
    )


def _remarks(run: RunScores) -> list[str]:
    model = run.receipt["model"]
    remarks = [f"{run.name}: {model['model']} ({model['kind']} model, {model.get('dtype', 'auto')})"]
    if model["kind"] == "instruct":
        remarks[0] += "; the published columns are base models, so this column is not comparable with them"
    if run.receipt.get("prompt", {}).get("chat"):
        turns = "each a turn" if run.receipt["prompt"]["fewshot_as_multiturn"] else "in one message"
        remarks[0] += f"; asked as a chat, few-shots {turns}"
    chosen = [
        f"{entry['title']} " + ", ".join(f"{key} = {value}" for key, value in entry["options"].items())
        for entry in run.scores["benchmarks"].values()
        if entry.get("options")
    ]
    remarks += [f"{run.name}: protocol choices: {'; '.join(chosen)}"] if chosen else []
    remarks += [
        f"{run.name}: {name} was not measured: {why.rstrip('.')}" for name, why in run.scores["skipped"].items()
    ]
    return remarks
