"""How the comparison's statistics do on simulated checkpoints: levels, coverages, and how early a run can stop.

python bench/simulations.py [--pairs 10000] [--runs 1000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.score import paired, sequential

Floats = NDArray[np.float64]
MMLU_DOCS, MMLU_SUBJECTS = 14042, 57


def plain(n: int) -> paired.Design:
    return paired.make_design(np.zeros(n, dtype=np.intp), np.ones(1), np.arange(n))


def grouped(tasks: int, size: int, unit: NDArray[np.intp] | None = None) -> paired.Design:
    """Tasks of unequal sizes that count the same (so that they are not pooled)."""
    task = np.repeat(np.arange(tasks), size + np.arange(tasks) % 3)
    return paired.make_design(task, np.full(tasks, 1 / tasks), np.arange(len(task)) if unit is None else unit)


@dataclass(frozen=True)
class Case:
    """One way to draw a pair of checkpoints."""

    name: str
    design: paired.Design
    kind: str
    gap: float = 0.0
    agree: float = 0.5

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Verdicts of both; the true difference of their expectations is ``gap``."""
        n, units = len(self.design.unit), self.design.units
        if self.kind == "continuous":
            hard = rng.beta(2, 1.5, n)
            return hard + rng.normal(0, 0.15, n), hard + self.gap + rng.normal(0, 0.15, n) * rng.exponential(1, n)
        shift = rng.normal(0, 0.15, units)[self.design.unit] if self.design.clustered else np.zeros(n)
        right = 0.25 + 0.5 * rng.random(units)[self.design.unit]
        first = rng.random(n) < right
        moved = rng.random(n) < 1 - self.agree
        second = np.where(moved, rng.random(n) < np.clip(right + shift + self.gap / (1 - self.agree), 0, 1), first)
        return first.astype(float), second.astype(float)


def cases() -> list[Case]:
    passages = np.arange(240) // 4
    shared = np.concatenate([np.arange(100), np.arange(101), np.arange(102)])
    return [
        Case("0/1, 100 docs", plain(100), "binary"),
        Case("0/1, 164 docs", plain(164), "binary"),
        Case("0/1, 300 docs, 10 % re-answered", plain(300), "binary", agree=0.9),
        Case("0/1, 1,000 docs, 4 % re-answered", plain(1000), "binary", agree=0.96),
        Case("0/1, 1,000 docs, 4 points apart", plain(1000), "binary", gap=0.04),
        Case("0/1, macro over 12 tasks", grouped(12, 40), "binary"),
        Case("continuous, 50 docs", plain(50), "continuous"),
        Case("continuous, 200 docs", plain(200), "continuous"),
        Case("continuous, 817 docs, 2 points apart", plain(817), "continuous", gap=0.02),
        Case("continuous, macro over 12 tasks", grouped(12, 30), "continuous"),
        Case("0/1, 60 passages of 4", paired.make_design(np.zeros(240, dtype=np.intp), np.ones(1), passages), "binary"),
        Case("0/1, one problem in 3 languages", grouped(3, 100, shared), "binary"),
    ]


@dataclass(frozen=True)
class Outcome:
    """Shares over simulated pairs."""

    method: str
    outside: float
    rejected: float


def run_case(case: Case, pairs: int, seed: int = 0) -> Outcome:
    """How often the 95 % interval misses the truth, and how often p < 0.05."""
    rng = np.random.default_rng(seed)
    outside = rejected = 0
    method = ""
    for i in range(pairs):
        first, second = case.draw(rng)
        test = paired.compare_means(first, second, case.design, seed=i)
        assert test.low is not None
        assert test.high is not None
        assert test.p is not None
        outside += not test.low <= case.gap <= test.high
        rejected += test.p < 0.05
        method = test.method
    return Outcome(method, outside / pairs, rejected / pairs)


def family(pairs: int, rows: int, seed: int = 0) -> float:
    """Share of equal pairs with any row called better or worse, over ``rows`` rows with Holm's correction."""
    rng = np.random.default_rng(seed)
    called = 0
    for _ in range(pairs):
        values = []
        for row in range(rows):
            n = int(rng.choice([164, 198, 399, 817, 1172, 1319]))
            case = Case("", plain(n), "continuous" if row % 7 == 0 else "binary")
            values.append(paired.compare_means(*case.draw(rng), case.design, seed=row).p)
        called += any(p is not None and p < 0.05 for p in paired.holm(values))
    return called / pairs


def subjects(docs: int = MMLU_DOCS, count: int = MMLU_SUBJECTS) -> Floats:
    """Sizes as unequal as MMLU's subjects."""
    shares = np.exp(np.random.default_rng(1).normal(0, 0.6, count))
    sizes = np.maximum(100 * docs // MMLU_DOCS, np.floor(shares / shares.sum() * docs * 0.9))
    sizes[-1] += docs - sizes.sum()
    return sizes


def in_order(sizes: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """A stratified order of all docs, as harness.plan.order makes it."""
    keys = np.concatenate([(rng.permutation(int(n)) + 0.5) / n for n in sizes])
    return np.argsort(keys, kind="stable")


def looks(first: int, docs: int, growth: float) -> Iterator[int]:
    n = float(first)
    while n < docs:
        yield int(n)
        n *= growth
    yield docs


@dataclass(frozen=True)
class Stopping:
    """How runs that look often ended."""

    wrong: float
    undecided: float
    shares: Floats


def stopping(
    gap: float, discordance: float, runs: int, *, margin: float = 0.0, sizes: Floats | None = None, growth: float = 1.1,
    seed: int = 0,
) -> Stopping:  # fmt: skip
    """Checkpoints with this difference (in shares), decided as soon as the sequence excludes ``-margin``."""
    sizes = subjects() if sizes is None else sizes
    docs = int(sizes.sum())
    stratum = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    population = sequential.Population(sizes, sizes / docs)
    rng = np.random.default_rng(seed)
    up, down = round(docs * (discordance + gap) / 2), round(docs * (discordance - gap) / 2)
    truth = (up - down) / docs
    base = np.concatenate([np.ones(up), -np.ones(down), np.zeros(docs - up - down)])
    wrong = undecided = 0
    shares = []
    for _ in range(runs):
        values, order = rng.permutation(base), in_order(sizes, rng)
        for n in looks(sequential.first_look(population), docs, growth):
            asked = order[:n]
            found = sequential.look(values[asked], stratum[asked], population, span=2.0)
            if found is not None and not found.low <= -margin <= found.high:
                # at the last look the figure of the set is known
                wrong += n < docs and ((found.low > -margin) != (truth > -margin) or truth == -margin)
                undecided += n == docs
                shares.append(n / docs)
                break
        else:
            undecided += 1
            shares.append(1.0)
    return Stopping(wrong / runs, undecided / runs, np.array(shares))


def peeked_coverage(right: float, sizes: Floats, runs: int, growth: float = 1.05, seed: int = 0) -> float:
    """Share of runs whose sequence ever excludes the set's own score, over all looks."""
    docs = int(sizes.sum())
    stratum = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    population = sequential.Population(sizes, sizes / docs)
    rng = np.random.default_rng(seed)
    missed = 0
    for _ in range(runs):
        level = np.clip(right + rng.normal(0, 0.1, len(sizes)), 0, 1)
        values = (rng.random(docs) < level[stratum]).astype(float)
        order, truth = in_order(sizes, rng), values.mean()
        for n in looks(sequential.first_look(population), docs - 1, growth):
            found = sequential.look(values[order[:n]], stratum[order[:n]], population)
            if found is not None and not found.low <= truth <= found.high:
                missed += 1
                break
    return missed / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs of checkpoints with a fixed number of docs")
    parser.add_argument("--runs", type=int, default=1000, help="runs that are looked at while they go on")
    options = parser.parse_args()
    start = time.monotonic()
    error = 1.96 * float(np.sqrt(0.05 * 0.95 / options.pairs))
    print(f"{options.pairs:,} pairs of checkpoints a line; a share of 5 % comes out within {error:.2%} of it\n")
    print(f"{'fixed docs':40} {'test':28} {'interval misses':>16} {'p < 0.05':>9}")
    with ProcessPoolExecutor() as pool:
        for case, found in zip(cases(), pool.map(partial(run_case, pairs=options.pairs), cases()), strict=True):
            print(f"{case.name:40} {found.method:28} {found.outside:16.2%} {found.rejected:9.2%}", flush=True)
    print(f"\n21 rows of equal checkpoints, any called better or worse: {family(max(options.runs // 2, 1), 21):.3f}")
    print("\npeeking: the sequence ever excludes the set's score")
    for right, sizes in ((0.7, subjects()), (0.95, subjects()), (0.25, subjects(2000, 20)), (0.5, np.array([1319.0]))):
        found_share = peeked_coverage(right, sizes, options.runs)
        print(f"  {int(sizes.sum()):6} docs, {len(sizes):2} strata, {right:.0%} right: {found_share:.3f}")
    print("\nstopping: MMLU's size, share of docs until decided   5 %  median  95 %   wrong  never before the end")
    for gap, margin in ((0.03, 0.0), (-0.03, 0.01), (0.0, 0.0)):
        for discordance in (0.1, 0.2, 0.3, 0.4, 0.5):
            ended = stopping(gap, discordance, options.runs, margin=margin)
            low, middle, high = np.quantile(ended.shares, [0.05, 0.5, 0.95])
            label = f"{100 * gap:+.0f} points, margin {100 * margin:.0f}, {discordance:.0%} answers differ"
            print(f"  {label:48} {low:6.1%} {middle:6.1%} {high:6.1%}  {ended.wrong:6.3f}  {ended.undecided:6.3f}")
    print(f"\n{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
