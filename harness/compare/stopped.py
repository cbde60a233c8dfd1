"""Rows of runs that stopped early because their docs said enough: only a confidence sequence is valid there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.compare.runs import Run, weights_of
from harness.score import paired, sequential


@dataclass(frozen=True)
class Stopped:
    """A row whose docs were asked until they were enough."""

    stratum: NDArray[np.intp]
    """Each doc's task."""
    population: sequential.Population
    """All docs that both runs could have been asked."""

    def test(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> paired.Test | None:
        """The sequence's interval and its p-value, both valid at any time; None with too few docs for them."""
        found = sequential.look(second - first, self.stratum, self.population, span=2.0)
        if found is None:
            return None
        return paired.Test(
            found.value, found.stderr, found.low, found.high, found.p, "confidence sequence", found.stderr
        )


def look(first: Run, second: Run, row: str, tasks: Sequence[str], both: NDArray[np.intp]) -> Stopped | None:
    """The row as a stopped one, if either run stopped early in it; ``both`` is the task of each doc in common."""
    if not any(stopped_early(run, row) for run in (first, second)):
        return None
    sizes = {}
    for i, name in enumerate(tasks):
        of = [_available(run, row, name) for run in (first, second)]
        sizes[name] = max(min(of), int((both == i).sum()))
    weights = weights_of(first, row, {name: n for name, n in sizes.items() if n})
    population = sequential.Population(
        np.array([sizes[name] for name in tasks], dtype=float), np.array([weights.get(name, 0.0) for name in tasks])
    )
    return Stopped(both, population)


def stopped_early(run: Run, row: str) -> bool:
    """Whether a row, or a member of it, was stopped by its own answers."""
    entry = run.rows[row]
    own = [entry, *(run.rows[member] for member in entry.get("members") or () if member in run.rows)]
    return any(part.get("precision") and part["n"] < part["of"] for part in own)


def _available(run: Run, row: str, task: str) -> int:
    """Docs of a task that the run could have been asked: all, where it stopped by itself; those it has, otherwise."""
    own = run.scores["tasks"].get(task)
    if own is None:
        return 0
    name = own["benchmark"]
    if not stopped_early(run, name if name in run.rows else row):
        return int(own["n"])
    return int(run.receipt["benchmarks"][name]["tasks"][task]["of"])
