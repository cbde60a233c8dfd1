"""Intervals that stay valid however often one looks: the figure of a whole set from the docs asked so far.

Docs are asked in a random order within each stratum (task), the same share of each. What is estimated is the score that
asking all of them would give, so nothing is uncertain but the order, and the interval closes when all are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
FIRST_LOOK = 100  # docs: below, the variance is known too badly for an asymptotic interval
TUNED_SHARE = 1 / 8  # of the docs: where the interval is tightest


@dataclass(frozen=True)
class Population:
    """What is asked of, stratum by stratum."""

    sizes: NDArray[np.float64]
    """All docs of each stratum."""
    weights: NDArray[np.float64]
    """Each stratum's weight in the row; they add up to 1."""

    @property
    def docs(self) -> float:
        """All docs."""
        return float(self.sizes.sum())


@dataclass(frozen=True)
class Look:
    """What is known at one look."""

    value: float
    """The weighted mean so far."""
    low: float
    """Lower end of the sequence's 95 % interval."""
    high: float
    """Its upper end."""
    p: float
    """Of the whole set's value being 0, valid at any time."""
    stderr: float
    """The standard error at this look, finite-population correction included."""

    @property
    def halfwidth(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def look(
    values: NDArray[np.float64], stratum: NDArray[np.intp], population: Population, *, span: float = 1.0
) -> Look | None:
    """A 95 % confidence sequence at its present length; None while a stratum has too few docs to know its spread.

    An asymptotic confidence sequence with the boundary of a normal mixture (Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52), on
    the martingale of sampling without replacement, (sum - n mean) / (N - n) (Waudby-Smith and Ramdas 2020, "Confidence
    sequences for sampling without replacement", NeurIPS). With s the standard error, finite-population correction
    included, and r = (N - n) / n, the half-width is

        sqrt((s^2 + r^2 / rho^2) (2 log(1 / alpha) + log(1 + rho^2 s^2 / r^2))).

    rho is fixed before anything is asked. ``span`` is the width of the range of a value (2 for differences of scores):
    like the betting intervals of Waudby-Smith and Ramdas (2024, JRSS B 86), the variance starts from one imagined doc
    at the ends of it.
    """
    k = len(population.sizes)
    n = np.bincount(stratum, minlength=k).astype(float)
    if ((n < np.minimum(2, population.sizes)) & (population.weights > 0)).any() or n.sum() == 0:
        return None
    counted = np.maximum(n, 1)
    means = np.bincount(stratum, values, k) / counted
    spread = np.bincount(stratum, (values - means[stratum]) ** 2, k) / np.maximum(n - 1, 1)
    value = float(population.weights @ means)
    asked, docs = float(n.sum()), population.docs
    left = np.maximum(1 - n / population.sizes, 0)
    imagined = (span / 2) ** 2 / (asked + 1) / asked * (1 - asked / docs)
    variance = float((population.weights**2 * spread / counted * left).sum()) + imagined
    ratio = (docs - asked) / asked
    if ratio <= 0:
        return Look(value, value, value, 1.0 if value == 0 else 0.0, 0.0)
    tuned = _rho2(docs, span)
    mixed = variance + ratio**2 / tuned
    growth = float(np.log1p(tuned * variance / ratio**2))
    width = float(np.sqrt(mixed * (2 * np.log(1 / ALPHA) + growth)))
    p = float(np.exp(min(0.0, growth / 2 - value**2 / (2 * mixed))))
    return Look(value, value - width, value + width, p, float(np.sqrt(variance)))


def _rho2(docs: float, span: float) -> float:
    """The mixture's precision that makes the interval tightest at ``TUNED_SHARE`` of the docs."""
    n = min(max(FIRST_LOOK, docs * TUNED_SHARE), docs / 2)
    variance = (span / 4) ** 2 if span > 1 else 0.25  # of a 0/1 score; of differences on a quarter of the docs
    time = variance * n / (docs * (docs - n))
    wide = -2 * np.log(ALPHA)
    return float((wide + np.log(wide) + 1) / time)


def first_look(population: Population) -> int:
    """Docs to ask before the first look."""
    positive = population.sizes[population.sizes > 0]
    # the same share of each stratum: enough for two docs of the smallest
    share = 2.5 / float(positive.min()) if len(positive) else 1.0
    return int(min(population.docs, max(FIRST_LOOK, np.ceil(share * population.docs))))
