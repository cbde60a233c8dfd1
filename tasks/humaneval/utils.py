"""Programs and verdicts of HumanEval."""

from typing import Any

from harness.score.execution.evalplus import completed
from harness.score.execution.spec import Program
from harness.score.extract import Extracted
from harness.score.programs import run_all


def run_base_tests(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program under the doc's own tests."""
    return run_all(resps, docs, program)


def program(doc: dict[str, Any], answer: str) -> Program:
    """Stub and answer as one file, and the checks that follow it."""
    tests = f"{doc['test']}\ncheck({doc['entry_point']})\n"
    return Program("python", completed(doc["prompt"], answer), tests, doc["entry_point"])


def verdict(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1 of one answer."""
    return {"pass@1": float(results[0] == "passed")}
