"""Programs and verdicts of HumanEval+."""

from functools import partial
from typing import Any

from harness.score.execution.evalplus import answered, completed
from harness.score.execution.evalplus_hub import humaneval_plus
from harness.score.extract import Extracted
from harness.score.programs import run_evalplus


def run_all_inputs(resps: list[list[str]], docs: list[dict[str, Any]], *, chat: bool = False) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program on base and plus inputs."""
    return run_evalplus(resps, docs, humaneval_plus, partial(program, chat=chat), "plus")


def program(doc: dict[str, Any], answer: str, *, chat: bool = False) -> str:
    """Stub and answer as one file."""
    if chat:
        return answered(doc["prompt"], answer, doc["entry_point"])
    return completed(doc["prompt"], answer)


def verdict(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1 of one answer."""
    return {"pass@1": float(results[0] == "passed")}
