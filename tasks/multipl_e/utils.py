"""Docs, programs and verdicts of MultiPL-E."""

from functools import partial
from typing import Any

from harness.score.execution.multipl_e import base_program, chat_program
from harness.score.execution.spec import Program
from harness.score.extract import Extracted
from harness.score.programs import run_all

PYTHON_STOPS = ["\ndef", "\n#", "\nif", "\nclass", "\nprint"]  # MultiPL-E's four, and the publishers' fifth


def from_humaneval(dataset: Any) -> Any:
    """HumanEval's problems as MultiPL-E's items."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "name": f"{doc['task_id'].replace('/', '_')}_{doc['entry_point']}",
                "language": "py",
                "prompt": doc["prompt"],
                "tests": f"{doc['test']}\ncheck({doc['entry_point']})\n",
                "stop_tokens": PYTHON_STOPS,
            }
            for doc in dataset
        ]
    )


def run_tests(resps: list[list[str]], docs: list[dict[str, Any]], *, chat: bool = False) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program under the item's tests."""
    return run_all(resps, docs, partial(program, chat=chat))


def program(doc: dict[str, Any], answer: str, *, chat: bool = False) -> Program:
    """Stub and answer, cut once more at the item's own stop strings, and the tests that follow."""
    language = "python" if doc["language"] == "py" else doc["language"]
    if chat:
        return chat_program(language, doc["prompt"], answer, doc["tests"])
    # an item's name is its problem's, HumanEval_<number>_<function>
    function = doc["name"].split("_", 2)[2]
    return base_program(language, doc["prompt"], answer, doc["tests"], doc["stop_tokens"], function)


def verdict(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1 of one answer."""
    return {"pass@1": float(results[0] == "passed")}
