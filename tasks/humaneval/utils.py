"""Programs and verdicts of HumanEval."""

from functools import partial
from typing import Any

from harness.score.execution.evalplus import answered, completed
from harness.score.execution.spec import Program
from harness.score.extract import Extracted
from harness.score.programs import run_all


def run_base_tests(resps: list[list[str]], docs: list[dict[str, Any]], *, chat: bool = False) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program under the doc's own tests."""
    return run_all(resps, docs, partial(program, chat=chat))


def program(doc: dict[str, Any], answer: str, *, chat: bool = False) -> Program:
    """Stub and answer as one file, and the checks that follow it."""
    tests = f"{doc['test']}\ncheck({doc['entry_point']})\n"
    entry = doc["entry_point"]
    source = answered(doc["prompt"], answer, entry) if chat else completed(doc["prompt"], answer)
    return Program("python", source, tests, entry)


def verdict(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1 of one answer."""
    return {"pass@1": float(results[0] == "passed")}
