"""Runs side by side, row by row: paired differences, their tests, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from harness.compare import corpus, protocol, stopped
from harness.compare.flips import Flip, flips
from harness.compare.rows import RowData, read_row
from harness.compare.runs import Run, open_runs, weights_of
from harness.errors import UserError
from harness.score import paired

Verdict = Literal["better", "worse", "tied", "too few docs", "not comparable"]
MARGIN = 5.0  # points: a row that could not have shown this much has too few docs
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """One row of one pair of runs, in points (percent, or the metric's own)."""

    row: str
    """The row's name."""
    title: str
    """The row's title."""
    first: float
    """The baseline's value on the docs that both have."""
    second: float
    """The other run's value on them."""
    difference: float
    """Second minus first."""
    stderr: float | None
    """Its paired standard error."""
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None
    """Its upper end."""
    p: float | None
    """Of the two-sided test of no difference."""
    p_adjusted: float | None
    """The same after Holm's correction over the pair's rows."""
    test: str
    """Which test."""
    n: int
    """Docs that both have."""
    asked: tuple[int, int]
    """Docs of each run."""
    units: int
    """Independent units among them: passages where docs share some."""
    gained: int | None
    """Docs on which the second run scores higher; None where docs have no scores of their own."""
    lost: int | None
    """Docs on which the first does."""
    detectable: float | None
    """The smallest true difference that n docs of this kind show with a power of 80 %."""
    docs_for_margin: int | None
    """Docs that would show a difference of the margin with that power."""
    docs_for_difference: int | None
    """Docs that would show a difference as large as the observed one."""
    verdict: Verdict
    """On the second run."""
    reason: str
    """Why, in a few words."""


@dataclass(frozen=True)
class Pair:
    """Two runs."""

    first: str
    """The baseline."""
    second: str
    """The run that is judged."""
    rows: tuple[Difference, ...]
    """The rows that both have."""
    differs: tuple[str, ...]
    """What their receipts say differently, row by row; empty for one protocol."""
    only_first: tuple[str, ...]
    """Titles of rows that only the baseline has."""
    only_second: tuple[str, ...]
    """Titles of rows that only the other has."""
    flips: tuple[Flip, ...] = ()
    """Docs on which they differ, where they were asked for."""


@dataclass(frozen=True)
class Comparison:
    """Several runs."""

    runs: tuple[str, ...]
    """Their names; the first is the baseline unless all are compared with all."""
    pairs: tuple[Pair, ...]
    """Each pair."""
    margin: float
    """The difference in points that a row should be able to show."""
    matrix: bool
    """Whether every run was compared with every other."""


def compare(
    folders: Sequence[Path], *, force: bool = False, matrix: bool = False, margin: float = MARGIN, samples: int = 0
) -> Comparison:
    """Compare the first run with each other one, or (``matrix``) all with all.

    ``samples`` is how many docs to list in each direction of each row.

    Raises:
        UserError: fewer than two runs, no common row, or (without ``force``) other protocols.
    """
    if len(folders) < 2:
        raise UserError("compare takes two runs or more.", "Give a baseline and the runs to judge against it.")
    runs = open_runs(folders)
    if matrix:
        chosen = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    else:
        chosen = [(runs[0], run) for run in runs[1:]]
    rows = {row: read_row(runs, row) for row in dict.fromkeys(row for run in runs for row in run.rows)}
    pairs = tuple(compare_pair(a, b, rows, margin, samples) for a, b in chosen)
    for pair in pairs:
        if not pair.rows:
            raise UserError(f"{pair.first} and {pair.second} share no row.", "Measure the same benchmarks with both.")
        if pair.differs and not force:
            more = f" (and {len(pair.differs) - 3} more)" if len(pair.differs) > 3 else ""
            raise UserError(
                f"{pair.first} and {pair.second} were measured by different protocols: "
                f"{'; '.join(pair.differs[:3])}{more}.",
                "Measure both alike, or compare them all the same with --force.",
            )
    return Comparison(tuple(run.name for run in runs), pairs, margin, matrix)


def compare_pair(first: Run, second: Run, rows: dict[str, RowData], margin: float = MARGIN, samples: int = 0) -> Pair:
    """All common rows of two runs, with Holm's correction over them."""
    both = [row for row in first.rows if row in second.rows]
    found, differs = [], []
    for row in both:
        data = rows[row]
        texts = [f"{data.title}: {text}" for text in protocol.differences(first, second, row)]
        texts += _other_prompts(first, second, data)
        differs += texts
        difference = compare_row(first, second, row, data, margin)
        if difference is not None:
            found.append(difference)
        else:
            differs.append(f"{data.title}: no doc in common")
    adjusted = paired.holm([row.p for row in found])
    judged = tuple(_judged(replace(row, p_adjusted=p), margin) for row, p in zip(found, adjusted, strict=True))
    return Pair(
        first.name,
        second.name,
        judged,
        tuple(differs),
        tuple(first.rows[row]["title"] for row in first.rows if row not in second.rows),
        tuple(second.rows[row]["title"] for row in second.rows if row not in first.rows),
        tuple(flip for row in both for flip in flips(first, second, rows[row], samples)) if samples else (),
    )


def _other_prompts(first: Run, second: Run, data: RowData) -> list[str]:
    """Docs that both runs have and that were asked with different prompts."""
    if not data.prompts:
        return []
    a, b = data.runs.index(first), data.runs.index(second)
    other = 0
    for hashes in data.prompts.values():
        known = np.array(
            [x is not None and y is not None for x, y in zip(hashes[a], hashes[b], strict=True)], dtype=bool
        )
        other += int((known & (hashes[a] != hashes[b])).sum())
    n = int((data.asked[a] & data.asked[b]).sum())
    return [f"{data.title}: the prompts of {other:,} of {n:,} docs"] if other else []


def compare_row(first: Run, second: Run, row: str, data: RowData, margin: float) -> Difference | None:
    """One row of two runs, not yet corrected; None without a doc that both have."""
    a, b = data.runs.index(first), data.runs.index(second)
    both = data.asked[a] & data.asked[b]
    n = int(both.sum())
    if n == 0:
        return None
    sizes = {
        task: int(k)
        for task, k in zip(data.tasks, np.bincount(data.task[both], minlength=len(data.tasks)), strict=True)
    }
    weights = weights_of(first, row, {task: k for task, k in sizes.items() if k})
    design = paired.make_design(
        data.task[both], np.array([weights.get(task, 0.0) for task in data.tasks]), data.groups[both]
    )
    x, y = data.scores[a][both], data.scores[b][both]
    whole = bool(np.isnan(x).any() or np.isnan(y).any())
    if whole:
        first_value, second_value, test = corpus.compare_whole(first, second, row, data, both, design)
    else:
        first_value, second_value = (paired.estimate(v, design).value * data.unit for v in (x, y))
        early = stopped.look(first, second, row, data.tasks, data.task[both])
        test = (early.test(x, y) if early else None) or paired.compare_means(x, y, design)
        test = _scaled(test, data.unit)
    error = test.power_stderr
    return Difference(
        row=row,
        title=data.title,
        first=first_value,
        second=second_value,
        difference=test.difference,
        stderr=test.stderr,
        low=test.low,
        high=test.high,
        p=test.p,
        p_adjusted=None,
        test=test.method,
        n=n,
        asked=(int(data.asked[a].sum()), int(data.asked[b].sum())),
        units=design.units,
        gained=None if whole else int((y > x).sum()),
        lost=None if whole else int((x > y).sum()),
        detectable=None if error is None else paired.detectable(error),
        docs_for_margin=None if not error else paired.docs_needed(n, error, margin),
        docs_for_difference=None if not error else paired.docs_needed(n, error, test.difference),
        verdict="tied",
        reason="",
    )


def _scaled(test: paired.Test, unit: float) -> paired.Test:
    def times(value: float | None) -> float | None:
        return None if value is None else value * unit

    return replace(
        test,
        difference=test.difference * unit,
        stderr=times(test.stderr),
        low=times(test.low),
        high=times(test.high),
        power_stderr=times(test.power_stderr),
    )


def _judged(row: Difference, margin: float) -> Difference:
    """With its verdict."""
    if row.p is None or row.p_adjusted is None:
        return replace(row, verdict="too few docs", reason=f"no test: {row.test}")
    if row.p_adjusted < LEVEL:
        return replace(
            row, verdict="better" if row.difference > 0 else "worse", reason=f"p = {row.p_adjusted:.2g} after Holm"
        )
    if row.detectable is not None and row.detectable > margin:
        return replace(
            row,
            verdict="too few docs",
            reason=f"{row.n:,} docs show {row.detectable:.1f} points; {row.docs_for_margin:,} would show {margin:g}",
        )
    return replace(row, verdict="tied", reason=f"{row.n:,} docs would have shown {row.detectable or 0:.1f} points")
