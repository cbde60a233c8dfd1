import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.score import statistics

VALUES = st.lists(st.floats(-5, 5), min_size=2, max_size=30)


@given(VALUES)
def test_mean_stderr_is_scipys(values: list[float]) -> None:
    assert statistics.mean_stderr(values) == pytest.approx(stats.sem(values))


@given(VALUES)
def test_clusters_of_one_change_nothing(values: list[float]) -> None:
    singles = [str(i) for i in range(len(values))]
    assert statistics.clustered_stderr(values, singles) == pytest.approx(statistics.mean_stderr(values), abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.integers(2, 4))
def test_copies_in_a_cluster_count_as_one(values: list[float], copies: int) -> None:
    repeated = [value for value in values for _ in range(copies)]
    clusters = [str(i) for i in range(len(values)) for _ in range(copies)]
    alone = statistics.mean_stderr(values)
    assert statistics.clustered_stderr(repeated, clusters) == pytest.approx(alone, abs=1e-9)


def test_too_few_values_have_no_error() -> None:
    assert statistics.mean_stderr([1.0]) is None
    assert statistics.clustered_stderr([1.0, 2.0], ["a", "a"]) is None
    assert statistics.bootstrap_stderr([1], lambda _: 0.0, seed=0) is None
    assert statistics.combined_stderr([0.1, None], [0.5, 0.5]) is None


def test_bootstrap_agrees_with_the_formula_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=200).tolist()
    drawn = statistics.bootstrap_stderr(values, lambda xs: float(np.mean(xs)), seed=0)
    formula = statistics.mean_stderr(values)
    assert drawn is not None
    assert formula is not None
    assert drawn == pytest.approx(formula, rel=0.1)
    assert drawn == statistics.bootstrap_stderr(values, lambda xs: float(np.mean(xs)), seed=0)


def test_clustered_error_covers_the_truth() -> None:
    """Over simulated passages of four questions, the 95 % interval holds the true mean 95 % of the time."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(600):
        passages = rng.normal(size=60)
        values = (passages[:, None] + rng.normal(size=(60, 4))).ravel()
        error = statistics.clustered_stderr(values, [str(i // 4) for i in range(240)])
        assert error is not None
        inside += abs(values.mean()) < 1.96 * error
    assert inside / 600 == pytest.approx(0.95, abs=0.03)


def test_combined_error_of_a_macro_mean() -> None:
    assert statistics.combined_stderr([0.3, 0.4], [0.5, 0.5]) == pytest.approx(math.hypot(0.15, 0.2))


@given(VALUES)
def test_one_mean_of_separate_docs_has_the_formulas_error(values: list[float]) -> None:
    names = [str(i) for i in range(len(values))]
    assert statistics.weighted_stderr([(1.0, values, names)]) == pytest.approx(statistics.mean_stderr(values), abs=1e-9)


@given(VALUES, VALUES)
def test_separate_means_add_their_squares_and_equal_ones_their_errors(a: list[float], b: list[float]) -> None:
    of_a, of_b = [f"a{i}" for i in range(len(a))], [f"b{i}" for i in range(len(b))]
    apart = statistics.weighted_stderr([(0.5, a, of_a), (0.5, b, of_b)])
    errors = [statistics.mean_stderr(a), statistics.mean_stderr(b)]
    assert apart == pytest.approx(statistics.combined_stderr(errors, [0.5, 0.5]), abs=1e-9)
    # the same docs twice, as HumanEval and HumanEval+ have them, are no new evidence
    together = statistics.weighted_stderr([(0.5, a, of_a), (0.5, a, of_a)])
    assert together == pytest.approx(statistics.mean_stderr(a), abs=1e-9)
