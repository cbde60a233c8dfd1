"""Standard errors of means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_DRAWS = 1000


def mean_stderr(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Standard error of a mean of independent values: s / sqrt(n), with Bessel's correction; None for n < 2."""
    x = np.asarray(values, dtype=float)
    if x.size < 2:
        return None
    return float(x.std(ddof=1) / np.sqrt(x.size))


def clustered_stderr(values: Sequence[float] | NDArray[np.float64], clusters: Sequence[str]) -> float | None:
    """Standard error of a mean whose values come in clusters (docs that share a passage).

    Sums residuals within each cluster before squaring (Liang and Zeger 1986; for evaluations, Miller 2024, "Adding
    Error Bars to Evals"), with the small-sample factor G / (G - 1) for G clusters. With one value a cluster it equals
    :func:`mean_stderr`; None for fewer than two clusters.
    """
    x = np.asarray(values, dtype=float)
    _, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    groups = int(codes.max(initial=-1)) + 1
    if groups < 2:
        return None
    sums = np.bincount(codes, weights=x - x.mean(), minlength=groups)
    return float(np.sqrt(groups / (groups - 1) * (sums**2).sum()) / x.size)


def weighted_stderr(
    parts: Sequence[tuple[float, Sequence[float] | NDArray[np.float64], Sequence[str]]],
) -> float | None:
    """Standard error of a weighted sum of means whose values may come from the same docs.

    Args:
        parts: for each mean, its weight, its values, and what each value comes from (a prompt, a passage). Values that
            come from the same thing, in one part or in several, vary together: their weighted residuals are summed
            before squaring. With one part of distinct names it equals :func:`mean_stderr`.

    None where a part has fewer than two values.
    """
    if any(len(values) < 2 for _, values, _ in parts):
        return None
    residuals: list[NDArray[np.float64]] = []
    names: list[str] = []
    for weight, values, own in parts:
        x = np.asarray(values, dtype=float)
        residuals.append(weight * (x - x.mean()) / np.sqrt(x.size * (x.size - 1)))
        names.extend(own)
    _, codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    sums = np.bincount(codes, weights=np.concatenate(residuals))
    return float(np.sqrt((sums**2).sum()))


def bootstrap_stderr(items: Sequence[object], statistic: Callable[[list[object]], float], seed: int) -> float | None:
    """Standard error of any statistic of a sample, by resampling it with replacement; None for n < 2."""
    if len(items) < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(BOOTSTRAP_DRAWS):
        picked = rng.integers(len(items), size=len(items))
        draws.append(statistic([items[i] for i in picked]))
    return float(np.std(draws, ddof=1))


def bootstrap_sums_stderr(
    rows: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float], seed: int
) -> float | None:
    """As :func:`bootstrap_stderr`, of a statistic that needs no more than the sums of its items' rows.

    How often each item is drawn is one multinomial draw, and a matrix product sums the rows of all draws at once.
    """
    n = len(rows)
    if n < 2:
        return None
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_DRAWS)
    return float(np.std([statistic(sums) for sums in times @ rows], ddof=1))


def joint_stderr(
    tables: Sequence[NDArray[np.float64]],
    of_sums: Sequence[Callable[[NDArray[np.float64]], float]],
    weights: Sequence[float],
    seed: int,
) -> float | None:
    """Standard error of a weighted sum of functions of sums over the same items, by drawing the items for all at once.

    Args:
        tables: for each function, the items' counts, one row an item, the items in the same order.
        of_sums: the functions of the summed counts (BLEU of a direction, say).
        weights: of each function's value.
        seed: of the draws.
    """
    items = len(tables[0])
    if items < 2:
        return None
    rng = np.random.default_rng(seed)
    # how often each item is drawn, one row a draw
    drawn = rng.multinomial(items, np.full(items, 1 / items), size=BOOTSTRAP_DRAWS).astype(float)
    totals = np.zeros(BOOTSTRAP_DRAWS)
    for table, function, weight in zip(tables, of_sums, weights, strict=True):
        totals += weight * np.array([function(sums) for sums in drawn @ table])
    return float(totals.std(ddof=1))


def combined_stderr(stderrs: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """Standard error of a weighted sum of independent estimates; None if one of theirs is unknown."""
    known = [s for s in stderrs if s is not None]
    if len(known) < len(stderrs) or not known:
        return None
    return float(np.sqrt(sum((w * s) ** 2 for w, s in zip(weights, known, strict=True))))
