"""Paired tests against scipy and statsmodels on fixed cases, and against the truth on simulated pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from harness.score import paired, statistics

Floats = NDArray[np.float64]


def alone(n: int) -> paired.Design:
    return paired.make_design(np.zeros(n, dtype=np.intp), np.ones(1), np.arange(n))


def pair(both: int, up: int, down: int, neither: int) -> tuple[Floats, Floats]:
    """0/1 verdicts with these four counts."""
    first = np.repeat([1.0, 0.0, 1.0, 0.0], [both, up, down, neither])
    second = np.repeat([1.0, 1.0, 0.0, 0.0], [both, up, down, neither])
    return first, second


@pytest.mark.parametrize("counts", [(50, 12, 4, 34), (10, 0, 7, 3), (90, 5, 5, 0), (0, 1, 0, 99), (40, 0, 0, 60)])
def test_mcnemar_is_scipys_binomial_test_and_statsmodels_mcnemar(counts: tuple[int, int, int, int]) -> None:
    test = paired.compare_means(*pair(*counts), alone(sum(counts)))
    both, up, down, neither = counts
    assert test.method == "McNemar exact"
    expected = stats.binomtest(up, up + down).pvalue if up + down else 1.0
    assert test.p == pytest.approx(expected)
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    assert test.p == pytest.approx(tables.mcnemar([[both, down], [up, neither]], exact=True).pvalue)


def test_the_score_interval_of_a_published_example() -> None:
    # 21 patients before and after a transplantation, 1 and 7 of them changed (Fagerland, Lydersen and Laake 2014)
    test = paired.compare_means(*pair(1, 1, 7, 12), alone(21))
    assert (test.low, test.high) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))
    assert test.difference == pytest.approx(-6 / 21)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 300))
def test_the_score_interval_inverts_mcnemars_statistic(up: int, down: int, rest: int) -> None:
    """It excludes 0 when the chi-square without correction does, turns around with the runs, and holds the estimate."""
    n = max(2, up + down + rest)
    low, high = paired.score_interval(up, down, n)
    assert -1 <= low <= (up - down) / n <= high <= 1
    assert paired.score_interval(down, up, n) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))
    statistic = (up - down) ** 2 / max(1, up + down)
    critical = stats.chi2.ppf(0.95, 1)
    if abs(statistic - critical) > 1e-6:
        assert (low > 0 or high < 0) == (statistic > critical)


@pytest.mark.parametrize("n", [100, 300])
@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_the_score_interval_covers_the_truth_where_few_docs_differ(n: int, gap: float) -> None:
    """Summed over all outcomes, not drawn: 5 and 10 % of the docs differ."""
    for differ in (0.05, 0.1):
        gained, lost = (differ + gap) / 2, (differ - gap) / 2
        up, down = np.meshgrid(np.arange(40), np.arange(40))
        share = stats.multinomial.pmf(np.stack([up, down, n - up - down], -1), n, [gained, lost, 1 - differ])
        covered = sum(
            float(share[i, j])
            for i, j in zip(*np.nonzero(share > 1e-7), strict=True)
            if (ends := paired.score_interval(int(up[i, j]), int(down[i, j]), n))[0] <= gap <= ends[1]
        )
        assert covered == pytest.approx(0.95, abs=0.015)


def test_without_a_differing_doc_the_interval_still_has_a_width() -> None:
    test = paired.compare_means(*pair(30, 0, 0, 70), alone(100))
    assert test.p == 1.0
    assert test.low is not None
    assert test.high is not None
    assert -0.04 < test.low < 0 < test.high < 0.04


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40))
def test_one_task_of_lone_docs_has_the_usual_error(values: list[float]) -> None:
    found = paired.estimate(np.array(values), alone(len(values)))
    assert found.stderr == pytest.approx(stats.sem(values), abs=1e-12)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)


def test_clustered_errors_are_statsmodels() -> None:
    regression = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    clusters = rng.integers(25, size=120)
    values = rng.normal(size=120) + rng.normal(size=25)[clusters]
    design = paired.make_design(np.zeros(120, dtype=np.intp), np.ones(1), clusters)
    found = paired.estimate(values, design)
    options = {"groups": clusters, "use_correction": False}
    fitted = regression.OLS(values, np.ones(120)).fit(cov_type="cluster", cov_kwds=options)
    groups = len(np.unique(clusters))
    assert found.stderr == pytest.approx(fitted.bse[0] * np.sqrt(groups / (groups - 1)))
    assert found.stderr == pytest.approx(statistics.clustered_stderr(values, [str(c) for c in clusters]))


def test_a_macro_mean_combines_its_tasks() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=30), rng.normal(2, 1, size=90)
    design = paired.make_design(np.repeat([0, 1], [30, 90]), np.array([0.5, 0.5]), np.arange(120))
    found = paired.estimate(np.concatenate([a, b]), design)
    assert found.value == pytest.approx((a.mean() + b.mean()) / 2)
    assert found.stderr == pytest.approx(np.hypot(stats.sem(a), stats.sem(b)) / 2)
    # and its degrees of freedom are Welch's
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert found.freedom == pytest.approx(welch.df)


def test_tasks_that_share_problems_are_one_stratum() -> None:
    rng = np.random.default_rng(2)
    plain = rng.normal(size=50)
    task = np.repeat([0, 1, 2], 50)
    unit = np.concatenate([np.arange(50), np.arange(50), np.arange(50, 100)])
    # the second task repeats the first one's answers, the third is another set
    values = np.concatenate([plain, plain, rng.normal(size=50)])
    design = paired.make_design(task, np.array([0.25, 0.25, 0.5]), unit)
    assert len(design.strata) == 2
    independent = paired.make_design(task, np.array([0.25, 0.25, 0.5]), np.arange(150))
    shared, wrong = paired.estimate(values, design), paired.estimate(values, independent)
    assert shared.stderr is not None
    assert wrong.stderr is not None
    expected = np.hypot(0.5 * stats.sem(plain), 0.5 * stats.sem(values[100:]))
    assert shared.stderr == pytest.approx(expected)
    assert wrong.stderr < shared.stderr


def test_weights_by_size_are_a_pooled_mean() -> None:
    design = paired.make_design(np.repeat([0, 1], [10, 30]), np.array([0.25, 0.75]), np.arange(40))
    assert len(design.weights) == 1
    gone = paired.make_design(np.repeat([0, 2], [10, 10]), np.array([0.5, 0.3, 0.2]), np.arange(20))
    assert gone.weights == pytest.approx([5 / 7, 2 / 7])


def test_the_bootstrap_agrees_with_students_t_where_that_is_right() -> None:
    rng = np.random.default_rng(3)
    first = rng.random(400)
    second = first + rng.normal(0.01, 0.2, 400)
    test = paired.compare_means(first, second, alone(400))
    expected = stats.ttest_rel(second, first)
    low, high = expected.confidence_interval(0.95)
    assert test.method == "paired bootstrap"
    assert test.p == pytest.approx(expected.pvalue, abs=0.02)
    assert test.low == pytest.approx(low, abs=0.002)
    assert test.high == pytest.approx(high, abs=0.002)
    many = paired.compare_means(np.tile(first, 20), np.tile(second, 20), alone(8000))
    assert many.method == "paired t"
    assert many.p == pytest.approx(stats.ttest_rel(np.tile(second, 20), np.tile(first, 20)).pvalue)


def test_holm_is_statsmodels() -> None:
    tests = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(5)
    for n in (1, 2, 5, 21, 30):
        values = (rng.random(n) ** 3).tolist()
        assert paired.holm(values) == pytest.approx(tests.multipletests(values, method="holm")[1])


def test_holm_counts_only_what_was_tested() -> None:
    assert paired.holm([0.01, None, 0.04]) == [0.02, None, 0.04]


def test_the_detectable_difference_is_statsmodels_power() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    # a paired test on n docs with standard deviation 0.4: the effect that 80 % of tests find
    n, deviation = 500, 0.4
    expected = power.NormalIndPower(ddof=0).solve_power(nobs1=n, alpha=0.05, power=0.8, ratio=0) * deviation
    found = paired.detectable(deviation / np.sqrt(n))
    assert found == pytest.approx(expected, rel=1e-3)
    assert paired.docs_needed(n, deviation / np.sqrt(n), found) == n
    assert paired.docs_needed(n, deviation / np.sqrt(n), found / 2) == pytest.approx(4 * n, abs=1)
    assert paired.docs_needed(n, 0.1, 0.0) is None


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_docs_have_no_test(n: int) -> None:
    test = paired.compare_means(np.ones(n), np.zeros(n), alone(n)) if n else None
    if test is not None:
        assert (test.p, test.low, test.high) == (None, None, None)
    two = paired.make_design(np.array([0, 0, 0, 1]), np.array([0.5, 0.5]), np.arange(4))
    assert paired.compare_means(np.zeros(4), np.ones(4), two).p is None


def test_bleu_is_resampled_by_its_counts() -> None:
    from harness.compare.corpus import bleu

    rng = np.random.default_rng(4)

    def counts(quality: float) -> Floats:
        total = np.tile([20.0, 19.0, 18.0, 17.0], (200, 1))
        matches = rng.binomial(total.astype(int), np.array([quality, quality**2, quality**3, quality**4]))
        return np.hstack([np.full((200, 1), 20.0), np.full((200, 1), 20.0), matches, total])

    better, worse = counts(0.75), counts(0.6)
    test = paired.compare_sums(worse, better, alone(200), bleu)
    assert test.difference == pytest.approx(bleu(better.sum(axis=0)) - bleu(worse.sum(axis=0)))
    assert test.p is not None
    assert test.p < 0.001
    same = paired.compare_sums(worse, worse, alone(200), bleu)
    assert (same.difference, same.p) == (0.0, 1.0)


SIMULATED: list[Any] = [
    "0/1, 164 docs",
    "continuous, 50 docs",
    "continuous, macro over 12 tasks",
    "0/1, 60 passages of 4",
]


@pytest.mark.parametrize("name", SIMULATED)
def test_equal_checkpoints_are_rarely_called_different(name: str) -> None:
    """Level and coverage over simulated pairs; bench/simulations.py takes 2,000 of them and more cases."""
    from bench.simulations import cases, run_case

    (case,) = [case for case in cases() if case.name == name]
    pairs = 300
    found = run_case(case, pairs)
    slack = 3 * np.sqrt(0.05 * 0.95 / pairs)
    assert found.rejected <= 0.05 + slack
    assert found.outside <= 0.05 + slack
