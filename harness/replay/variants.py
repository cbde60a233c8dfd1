"""Which of the authors' own rules judged a file.

Authors change their scripts, and outputs are published without a word on which version judged them. Where a benchmark
knows several versions by name, the one whose verdicts agree most with the published ones is taken; the receipt names
it, with the agreement of each. It is never taken by the score, and a choice of the user's stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.backends.base import Response
from harness.config import Config
from harness.plan import Plan
from harness.plan.benchmark import Benchmark
from harness.plan.planner import BenchmarkPlan
from harness.score.programs import Execution, executing
from harness.score.scorer import TaskScores, score_plan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Variant:
    """The rule that was taken for one benchmark."""

    benchmark: str
    """The benchmark."""
    chosen: str
    """The choices, as overrides."""
    agreement: dict[str, int]
    """Agreeing verdicts of each rival."""
    of: int
    """Published verdicts."""

    def entry(self) -> dict[str, Any]:
        """For the receipt."""
        return {"benchmark": self.benchmark, "chosen": self.chosen, "agreement": self.agreement, "of": self.of}


def choose(
    benchmark: str,
    rivals: Sequence[str],
    published: pd.DataFrame,
    configured: Callable[[str], Config],
    planned: Callable[[Config], tuple[Plan, Mapping[str, Response]]],
) -> Variant | None:
    """The rival that agrees most with the published verdicts, the first of equals; None where there are none.

    Args:
        benchmark: its name.
        rivals: choices, as overrides.
        published: the publisher's verdicts.
        configured: the configuration with a rival's choices.
        planned: the plan of a configuration and its responses.
    """
    theirs = published[(published["benchmark"] == benchmark) & published["verdict"].notna()]
    if len(rivals) < 2 or theirs.empty:
        return None
    wanted = theirs.set_index(["task", "doc_id"])["verdict"]
    agreement: dict[str, int] = {}
    scored: tuple[BenchmarkPlan, list[TaskScores]] | None = None
    for rival in rivals:
        config = configured(rival)
        row = next(b for b in config.benchmarks if b.name == benchmark)
        if scored is None or not _recorded(scored[0].benchmark, row):
            plan, responses = planned(config)
            bench = next(b for b in plan.benchmarks if b.benchmark.name == benchmark)
            with executing(Execution(config.sandbox, config.workers, config.run_dir / "executions.sqlite")):
                scored = bench, score_plan(Plan((bench,), {}), responses)
        agreement[rival] = _agreeing(scored[1], row, wanted)
    return Variant(benchmark, max(agreement, key=lambda rival: agreement[rival]), agreement, len(wanted))


def _recorded(scored: Benchmark, row: Benchmark) -> bool:
    """Whether one scoring holds both: a task's samples have all metrics of all its filters."""
    return (scored.metric, scored.filter) != (row.metric, row.filter)


def _agreeing(scores: Sequence[TaskScores], row: Benchmark, wanted: pd.Series[float]) -> int:
    agree = 0
    for task in scores:
        metric = row.metric or task.metric
        column = metric if row.filter in (None, task.filter) else f"{metric},{row.filter}"
        ours = task.samples.assign(task=task.task).set_index(["task", "doc_id"])[column]
        both = ours.index.intersection(wanted.index)
        agree += int(((ours[both] >= 0.5) == (wanted[both] >= 0.5)).sum())
    return agree
