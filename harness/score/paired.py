"""Differences between two sets of verdicts on the same docs.

A row is a weighted mean of its tasks' means. Docs that share a passage, a problem or a template form one *unit*; units
are what is independent. Tasks that share units (translations of one question, the plain and the strict tests of one
problem) form one *stratum*, and strata are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, stats
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

LEVEL = 0.95
POWER = 0.8
DRAWS = 2000
CHUNK = 2_000_000  # units drawn at a time: some 50 MB
NORMAL_ABOVE = 5000  # units; beyond, the bootstrap of a bounded mean only repeats the normal distribution


@dataclass(frozen=True)
class Design:
    """How the docs of a row are weighted and grouped."""

    task: Codes
    """Each doc's task, from 0 on."""
    weights: Floats
    """Each task's weight; they add up to 1."""
    unit: Codes
    """Each doc's unit, from 0 on."""

    @cached_property
    def sizes(self) -> Floats:
        """Docs of each task."""
        return np.bincount(self.task, minlength=len(self.weights)).astype(float)

    @cached_property
    def units(self) -> int:
        """How many units there are."""
        return int(self.unit.max(initial=-1)) + 1

    @property
    def clustered(self) -> bool:
        """Whether some unit has several docs."""
        return self.units < len(self.unit)

    @cached_property
    def stratum(self) -> Codes:
        """Each unit's stratum: the connected parts of the graph of tasks and units."""
        if len(self.weights) == 1:
            return np.zeros(self.units, dtype=np.intp)
        ones = np.ones(len(self.task))
        links = sparse.coo_array((ones, (self.unit, self.task)), shape=(self.units, len(self.weights)))
        graph = sparse.block_array([[None, links], [links.T, None]]).tocsr()
        labels = np.asarray(connected_components(graph, directed=False)[1])[: self.units]
        return np.unique(labels, return_inverse=True)[1].astype(np.intp)

    @cached_property
    def strata(self) -> Floats:
        """Units of each stratum."""
        return np.bincount(self.stratum).astype(float)


def make_design(task: Codes, weights: Floats, unit: Codes) -> Design:
    """A design; tasks weighted by their number of docs are pooled into one, so that each doc counts the same.

    A task without docs falls away, and the others' weights are scaled up.
    """
    present, task = np.unique(task, return_inverse=True)
    weights = np.asarray(weights, dtype=float)[present]
    weights = weights / weights.sum()
    unit = np.unique(unit, return_inverse=True)[1].astype(np.intp)
    if np.allclose(weights, np.bincount(task) / len(task), rtol=1e-9, atol=0):
        return Design(np.zeros(len(task), dtype=np.intp), np.ones(1), unit)
    return Design(task.astype(np.intp), weights, unit)


@dataclass(frozen=True)
class Estimate:
    """A weighted mean with its error."""

    value: float
    """The weighted mean."""
    stderr: float | None
    """None where a stratum has fewer than two units."""
    freedom: float
    """Degrees of freedom of the error (Satterthwaite 1946)."""


def estimate(values: Floats, design: Design) -> Estimate:
    """A row's weighted mean with a standard error that is robust to clusters.

    The residuals of a unit are summed before squaring (Liang and Zeger 1986; for evaluations, Miller 2024, "Adding
    Error Bars to Evals"), stratum by stratum, with the factor G / (G - 1) for a stratum of G units. One task with one
    doc a unit gives s / sqrt(n).
    """
    means = np.bincount(design.task, values, len(design.weights)) / design.sizes
    value = float(design.weights @ means)
    if (design.strata < 2).any():
        return Estimate(value, None, 0.0)
    shares = (design.weights / design.sizes)[design.task] * (values - means[design.task])
    squares = np.bincount(design.unit, shares, design.units) ** 2
    parts = np.bincount(design.stratum, squares) * design.strata / (design.strata - 1)
    variance = float(parts.sum())
    freedom = 1 / float(((parts / variance) ** 2 / (design.strata - 1)).sum()) if variance > 0 else design.units - 1.0
    return Estimate(value, float(np.sqrt(variance)), freedom)


@dataclass(frozen=True)
class Test:
    """What a paired test says."""

    difference: float
    """Of the weighted means, second minus first."""
    stderr: float | None
    """Its paired standard error."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Its upper end."""
    p: float | None
    """Two-sided; of no difference at all."""
    method: str
    """Which test."""
    power_stderr: float | None
    """The error for planning: never 0 for a few equal 0/1 verdicts."""


def compare_means(first: Floats, second: Floats, design: Design, seed: int = 0) -> Test:
    """McNemar's exact test for 0/1 verdicts of independent docs that count the same; a paired bootstrap otherwise."""
    binary = bool(np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all())
    if binary and not design.clustered and len(design.weights) == 1:
        return mcnemar(first, second)
    difference = second - first
    found = estimate(difference, design)
    if found.stderr is None:
        return Test(found.value, None, None, None, None, "none: a task has a single doc", None)
    if found.stderr == 0.0:
        equal = not difference.any()
        return Test(
            found.value, 0.0, found.value, found.value, 1.0 if equal else None, "no doc differs from another", 0.0
        )
    if design.units > NORMAL_ABOVE:
        width = float(stats.t.ppf((1 + LEVEL) / 2, found.freedom)) * found.stderr
        p = float(2 * stats.t.sf(abs(found.value) / found.stderr, found.freedom))
        return _test(found, width, p, "paired t", design)
    draw = _studentised_by_unit if design.clustered else _studentised
    drawn = np.sort(draw(difference, design, found, seed))
    width = float(np.quantile(drawn, LEVEL, method="higher")) * found.stderr
    p = (1 + float((drawn >= abs(found.value) / found.stderr).sum())) / (DRAWS + 1)
    return _test(found, width, p, "paired bootstrap", design)


def _test(found: Estimate, width: float, p: float, method: str, design: Design) -> Test:
    name = f"{method} by cluster" if design.clustered else method
    return Test(found.value, found.stderr, found.value - width, found.value + width, p, name, found.stderr)


def mcnemar(first: Floats, second: Floats) -> Test:
    """McNemar's exact test (McNemar 1947) with the score interval of Tango (1998).

    Given the docs on which the two differ, either is right on each of them with probability 1/2. The interval holds
    the differences that McNemar's statistic, taken around them, does not reject; it keeps its level where few docs
    differ, and has a width where none does.
    """
    n = len(first)
    if n < 2:
        return Test(float((second - first).sum()), None, None, None, None, "none: a single doc", None)
    up, down = int((second > first).sum()), int((first > second).sum())
    p = min(1.0, 2 * float(stats.binom.cdf(min(up, down), up + down, 0.5)))
    low, high = score_interval(up, down, n)
    normal = float(stats.norm.ppf((1 + LEVEL) / 2))
    plain = float(np.std(second - first, ddof=1) / np.sqrt(n))
    return Test((up - down) / n, plain, low, high, p, "McNemar exact", (high - low) / (2 * normal))


def score_interval(up: int, down: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a difference of paired shares (Tango 1998, Statistics in Medicine 17, 891-908).

    Of ``n`` docs, ``up`` are right only in the second run and ``down`` only in the first. The ends are the differences
    d at which (up - down - n d) / sqrt(n (2 q + d (1 - d))) is 1.96 and -1.96, with q the most likely share of
    ``down`` if d were true.
    """
    normal = float(stats.norm.ppf((1 + LEVEL) / 2))

    def distance(d: float, sign: float) -> float:
        b = (2 * n - up + down) * d - up - down
        q = (np.sqrt(max(0.0, b * b + 8 * n * down * d * (1 - d))) - b) / (4 * n)
        return float(up - down - n * d - sign * normal * np.sqrt(max(0.0, n * (2 * q + d * (1 - d)))))

    # without docs that speak for the other side the estimate is a root too: the ends are looked for beside it
    middle, aside = (up - down) / n, 1e-12
    low = optimize.brentq(distance, -1.0, middle - aside, args=(1.0,)) if down < n else -1.0
    high = optimize.brentq(distance, middle + aside, 1.0, args=(-1.0,)) if up < n else 1.0
    return float(low), float(high)


def _draws(design: Design, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn, chunk by chunk: units are drawn with replacement within their stratum."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(design.stratum == h) for h in range(len(design.strata))]
    chunk = max(1, min(DRAWS, CHUNK // design.units))
    for start in range(0, DRAWS, chunk):
        rows = min(chunk, DRAWS - start)
        counts = np.empty((rows, design.units))
        for units in members:
            picked = rng.integers(len(units), size=(rows, len(units)), dtype=np.int64)
            picked += np.arange(rows)[:, None] * len(units)
            counts[:, units] = np.bincount(picked.ravel(), minlength=rows * len(units)).reshape(rows, -1)
        yield counts


def _studentised(values: Floats, design: Design, found: Estimate, seed: int) -> Floats:
    """|t| of each resample around the estimate (bootstrap-t; Efron and Tibshirani 1993, chapter 12)."""
    rng = np.random.default_rng(seed)
    means, variances = np.zeros(DRAWS), np.zeros(DRAWS)
    for task, weight in enumerate(design.weights):
        own = values[design.task == task]
        chunk = max(1, CHUNK // len(own))
        for start in range(0, DRAWS, chunk):
            rows = slice(start, min(start + chunk, DRAWS))
            drawn = own[rng.integers(len(own), size=(rows.stop - start, len(own)))]
            means[rows] += weight * drawn.mean(axis=1)
            variances[rows] += weight**2 * drawn.var(axis=1, ddof=1) / len(own)
    return _distance(means, np.sqrt(variances), found)


def _distance(means: Floats, errors: Floats, found: Estimate) -> Floats:
    """|t|; a resample without a spread of its own takes the sample's."""
    assert found.stderr is not None
    return np.abs(means - found.value) / np.where(errors > 1e-12, errors, found.stderr)


def _studentised_by_unit(values: Floats, design: Design, found: Estimate, seed: int) -> Floats:
    """The same where units have several docs, in one task or in several."""
    shape = (design.units, len(design.weights))
    sums = sparse.coo_array((values, (design.unit, design.task)), shape=shape).tocsr()
    sizes = sparse.coo_array((np.ones(len(values)), (design.unit, design.task)), shape=shape).tocsr()
    factor = (design.strata / (design.strata - 1))[design.stratum]
    drawn = []
    for counts in _draws(design, seed):
        # a task whose units were all left out of a resample has no mean there; the row goes on without it
        n = np.maximum(np.asarray((sizes.T @ counts.T).T), 1e-12)
        means = (sums.T @ counts.T).T / n
        share = design.weights / n
        parts = (sums @ share.T - sizes @ (share * means).T).T
        errors = np.sqrt((counts * parts**2 * factor).sum(axis=1))
        drawn.append(_distance(means @ design.weights, errors, found))
    return np.concatenate(drawn)


def compare_sums(
    first: Floats, second: Floats, design: Design, value: Callable[[Floats], Floats], seed: int = 0
) -> Test:
    """Paired bootstrap of a metric of whole sets (BLEU): recomputed from the resampled docs' summed statistics.

    ``first`` and ``second`` hold one row of statistics a doc, ``value`` turns sums of them into the metric. The test
    shifts the resampled differences to zero (Riezler and Maxwell 2005); the interval is of percentiles (Koehn 2004).
    """
    rows = [np.flatnonzero(design.task == t) for t in range(len(design.weights))]

    def difference(counts: Floats) -> Floats:
        total = np.zeros(len(counts))
        for docs, weight in zip(rows, design.weights, strict=True):
            times = counts[:, design.unit[docs]]
            total += weight * (value(times @ second[docs]) - value(times @ first[docs]))
        return total

    observed = float(difference(np.ones((1, design.units)))[0])
    if (design.strata < 2).any():
        return Test(observed, None, None, None, None, "none: a single doc", None)
    drawn = np.concatenate([difference(counts) for counts in _draws(design, seed)])
    error = float(drawn.std(ddof=1))
    low, high = (float(x) for x in np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    p = (1 + float((np.abs(drawn - observed) >= abs(observed)).sum())) / (len(drawn) + 1)
    return Test(observed, error, low, high, min(1.0, p), "paired bootstrap of the whole set", error)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number (Holm 1979); None stays None and is not counted."""
    known = [i for i, p in enumerate(values) if p is not None]
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: values[i] or 0.0)):
        highest = max(highest, min(1.0, (len(known) - rank) * (values[i] or 0.0)))
        adjusted[i] = highest
    return adjusted


def detectable(stderr: float) -> float:
    """The smallest true difference that a two-sided 5 % test finds with a power of 80 %."""
    return float((stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER)) * stderr)


def docs_needed(n: int, stderr: float, difference: float) -> int | None:
    """How many docs of this kind would find a difference with a power of 80 %; None for no difference."""
    if difference == 0:
        return None
    return max(1, int(np.ceil(n * (detectable(stderr) / difference) ** 2)))
