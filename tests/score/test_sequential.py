"""The confidence sequence: its ends, its level under peeking, and how early it decides."""

from __future__ import annotations

import numpy as np
import pytest

from bench.simulations import peeked_coverage, stopping, subjects
from harness.score import sequential


def population(*sizes: float) -> sequential.Population:
    docs = np.array(sizes)
    return sequential.Population(docs, docs / docs.sum())


def look(values: list[float], docs: float, span: float = 1.0) -> sequential.Look:
    found = sequential.look(np.array(values), np.zeros(len(values), dtype=np.intp), population(docs), span=span)
    assert found is not None
    return found


def test_the_width_is_the_formulas() -> None:
    values = [1.0, 0.0] * 100
    found = look(values, 1000)
    n, docs, alpha = 200, 1000, 0.05
    spread = np.var(values, ddof=1) / n * (1 - n / docs)
    error = spread + 0.25 / (n + 1) / n * (1 - n / docs)
    tuned = 125
    time = 0.25 * tuned / (docs * (docs - tuned))
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / time
    ratio = (docs - n) / n
    width = np.sqrt((error + ratio**2 / rho2) * (2 * np.log(1 / alpha) + np.log(1 + rho2 * error / ratio**2)))
    assert found.halfwidth == pytest.approx(width)
    assert found.value == 0.5
    assert found.stderr == pytest.approx(np.sqrt(error))


def test_it_closes_when_every_doc_is_asked() -> None:
    half, most, all_of_them = look([1.0, 0.0] * 250, 1000), look([1.0, 0.0] * 490, 1000), look([1.0, 0.0] * 500, 1000)
    assert half.halfwidth > 3 * most.halfwidth > 0
    assert (all_of_them.low, all_of_them.high) == (0.5, 0.5)


def test_the_p_value_is_the_interval_turned_around() -> None:
    for gap in (0.02, 0.05, 0.08, 0.12):
        values = np.zeros(400)
        values[: round(400 * (0.2 + gap) / 2)] = 1
        values[-round(400 * (0.2 - gap) / 2) :] = -1
        found = look(list(values), 4000, span=2.0)
        assert (found.p < 0.05) == (found.low > 0)


def test_answers_that_are_all_alike_are_not_certain() -> None:
    assert look([1.0] * 100, 10_000).low < 0.95


def test_a_stratum_with_one_doc_is_not_known() -> None:
    stratum = np.array([0] * 50 + [1])
    assert sequential.look(np.zeros(51), stratum, population(100.0, 100.0)) is None
    # unless there is no other
    assert sequential.look(np.zeros(51), stratum, population(100.0, 1.0)) is not None


def test_the_first_look_has_two_docs_of_each_stratum() -> None:
    assert sequential.first_look(population(1000.0)) == sequential.FIRST_LOOK
    assert sequential.first_look(population(900.0, 10.0)) == pytest.approx(0.25 * 910, abs=1)
    assert sequential.first_look(population(40.0)) == 40


def test_looking_often_keeps_the_level() -> None:
    """At most 5 % of the runs ever have an interval without the set's score, over all their looks."""
    for right, sizes in ((0.8, subjects(3000, 12)), (0.3, np.array([1319.0]))):
        runs = 150
        assert peeked_coverage(right, sizes, runs, growth=1.1) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_equal_checkpoints_are_rarely_decided_early() -> None:
    runs = 60
    assert stopping(0.0, 0.2, runs).wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_three_points_on_mmlu_are_decided_after_a_quarter_of_the_docs() -> None:
    found = stopping(0.03, 0.2, 40)
    assert np.median(found.shares) <= 0.25
    assert found.wrong <= 0.05
