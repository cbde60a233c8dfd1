"""Docs, programs and verdicts of MBPP and MBPP+, in both of EvalPlus' releases."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from harness.plan.release import Release
from harness.score.execution import evalplus
from harness.score.execution.evalplus_hub import mbpp_plus
from harness.score.extract import Extracted
from harness.score.programs import run_evalplus

RELEASE = Release(
    "evalplus/MbppPlus-v0.1.0.jsonl.gz",
    "https://github.com/ganler/release/releases/download/humanevalplus/MbppPlus-v0.1.0.jsonl.gz",
    "a855b9de667baea8e2f8aa61f898767a7336872208a85222b35622545e819fe9",
)
NESTED = ("base_input", "plus_input", "atol")  # of all types, which no column of a table holds: kept as JSON


def release(*, rows: Callable[[Release], list[dict[str, Any]]] | None = None, **_metadata: Any) -> Any:
    """The problems of release 0.1.0, which is a file and no data set of the hub's."""
    from datasets import Dataset, DatasetDict

    if rows is None:  # in lm-eval itself
        from harness.plan import Source

        rows = Source("hub").rows
    docs = [{**row, **{name: json.dumps(row[name]) for name in NESTED}} for row in rows(RELEASE)]
    return DatasetDict({"test": Dataset.from_list(docs)})


def as_released(dataset: Any) -> Any:
    """The hub's rows with the ids and the prompts of EvalPlus' release of them."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "task_id": f"Mbpp/{doc['task_id']}",
                "prompt": docstring(doc["prompt"], doc["test_list"][0]),
                "canonical_solution": doc["code"],
                "code": doc["code"],
                "test_list": doc["test_list"],
                "test": doc["test"],
            }
            for doc in dataset
        ]
    )


def docstring(text: str, first_assert: str) -> str:
    """The task, without the address of the page that it was taken from, and its first assert."""
    return f'"""\n{re.sub(r"https?://[^ ]+", "", text)}\n{first_assert}\n"""\n'


def problem(doc: dict[str, Any]) -> evalplus.Problem:
    """The problem in a doc of either release."""
    # the verdicts published with release 0.1.0 compared outputs as they are: see docs/execution.md
    return mbpp_plus(doc) if "test" in doc else evalplus.problem(doc, sets=False)


def run_base_inputs(resps: list[list[str]], docs: list[dict[str, Any]], *, chat: bool = False) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program on the base inputs."""
    return run_evalplus(resps, docs, problem, partial(program, chat=chat), "base")


def run_all_inputs(resps: list[list[str]], docs: list[dict[str, Any]], *, chat: bool = False) -> list[list[Extracted]]:
    """An lm-eval filter: each answer becomes the status of its program on base and plus inputs."""
    return run_evalplus(resps, docs, problem, partial(program, chat=chat), "plus")


def program(doc: dict[str, Any], answer: str, *, chat: bool = False) -> str:
    """Docstring and answer as one file."""
    if chat:
        return evalplus.answered(doc["prompt"], answer, problem(doc).entry_point)
    return evalplus.completed(doc["prompt"], answer)


def verdict(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1 of one answer."""
    return {"pass@1": float(results[0] == "passed")}
