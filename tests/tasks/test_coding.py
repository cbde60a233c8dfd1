"""Benchmarks of code: sample docs pass with their references, and verdicts are those of the whole tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.backends.base import Generated
from harness.plan import Plan
from harness.plan.planner import BenchmarkPlan
from harness.score.execution import evalplus, python_check, toolchains
from harness.score.execution.languages import LANGUAGES
from harness.score.programs import Execution, executing
from harness.score.scorer import score_plan
from tests.tasks.support import plan, utils

EVALPLUS = [("humaneval_plus", ()), *((b, (f"mbpp.version={v}",)) for b in ("mbpp", "mbpp_plus") for v in ("0.1.0", "0.2.0"))]
ANSWERS = yaml.safe_load((Path(__file__).parent / "cases" / "multipl_e.yaml").read_text(encoding="utf-8"))
SHORT = {"python": "py"}


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One file of verdicts for all tests here."""
    with executing(Execution(cache=tmp_path_factory.mktemp("executions") / "executions.sqlite")):
        yield


def scores(made: BenchmarkPlan, answers: dict[str, str]) -> dict[str, float]:
    """pass@1 by doc, of answers by doc."""
    docs = [doc for task in made.tasks for doc in task.docs]
    responses = {doc.requests[0].hash: Generated(answers[doc.doc_id], "stop", 1, 1) for doc in docs}
    found: dict[str, float] = {}
    for task in score_plan(Plan((made,), {}), responses):
        found |= dict(zip(task.samples["doc_id"], task.samples["score"], strict=True))
    return found


@pytest.mark.parametrize(("benchmark", "overrides"), EVALPLUS, ids=str)
def test_references_of_sample_docs_pass(benchmark: str, overrides: tuple[str, ...]) -> None:
    made = plan(benchmark, *overrides)
    docs = made.tasks[0].docs
    assert len(docs) >= 12
    answers = {doc.doc_id: doc.doc["canonical_solution"] for doc in docs}
    assert scores(made, answers) == dict.fromkeys(answers, 1.0)
    nothing = dict.fromkeys(answers, "    pass\n")
    assert scores(made, nothing) == dict.fromkeys(answers, 0.0)
