"""Benchmarks of code as foreign files hold them: each doc brings what is needed to run its answer.

The docs are complete in themselves, with tests or inputs, so that an imported run is judged without any data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from harness.score.execution import Program, Verdict, evalplus, multipl_e
from harness.score.extract import Extracted
from harness.score.programs import assembled, executed, in_places, run_all, run_evalplus

LANGUAGES: Final = ("python", "cpp", "java", "php", "ts", "cs", "sh", "js")
MULTIPL_E: Final[Mapping[str, str]] = {
    language: "multipl_e_python_original" if language == "python" else f"multipl_e_other_{language}"
    for language in LANGUAGES
}
"""The task of each language."""

PYTHON: Final[Mapping[str, tuple[str, str]]] = {
    "humaneval": ("HumanEval", "base"),
    "humaneval_plus": ("HumanEval+", "plus"),
    "mbpp": ("MBPP", "base"),
    "mbpp_plus": ("MBPP+", "plus"),
}
"""Title and tests of each benchmark of Python programs."""


LACKED: Final[Mapping[str, tuple[str, re.Pattern[str]]]] = {
    "sh": ("missing command: bc", re.compile(r"(?:^|[|;&(`])\s*bc\b", re.MULTILINE)),
    "java": (
        "javatuples not on the class path at run time",
        re.compile(r"\b(?:Unit|Pair|Triplet|Quartet|Quintet|Sextet|Septet|Octet|Ennead|Decade)\.with\("),
    ),
}
"""By language, what the publisher's machine may have lacked when it ran chat models' programs. Messages of the base
model's results show the command. For Java, copies of MultiPL-E's script (``multiple_metrics/eval_java.py``, as in
bigcode-evaluation-harness) compile with javatuples in CLASSPATH and start the program with a ``-cp`` that replaces it;
today's MultiPL-E names the jar there. Which one the publisher used is not known."""

TAKE_FIRST: Final = {"function": "take_first"}


def lacked(language: str, answer: str, tests: str) -> str | None:
    """Why the publisher's machine may have failed a chat model's program, if it may have."""
    why, sign = LACKED.get(language, ("", None))
    return why if sign is not None and (sign.search(answer) or sign.search(tests)) else None


class Ran(Extracted):
    """A program's status, and whether the publisher's rule passes it (see ``Verdict.published_pass``)."""

    published: bool


def spec(benchmark: str) -> dict[str, Any] | None:
    """The row of a benchmark of code, as ``conf/benchmark`` would have it; None for any other."""
    if benchmark in PYTHON:
        title, tests = PYTHON[benchmark]
        row: dict[str, Any] = {"title": title, "tasks": [benchmark], "filter": tests, "average": "micro"}
        if benchmark.startswith("mbpp"):
            row |= {"compare": "exact", "choices": {"compare": ["exact", "sets"]}}
        return {**row, "shots": 0, "metric": "pass@1"}
    if benchmark == "multipl_e":
        row = {"title": "MultiPL-E", "tasks": [*MULTIPL_E.values()], "filter": "executed", "average": "macro"}
        # chat models' programs: put together by a version of the publisher's scripts, or as for models that are asked
        rule = {
            "rule": "finished",
            "assembly": "published",
            "choices": {"rule": ["finished", "exit"], "assembly": ["published", "sound"]},
        }
        return {**row, **rule, "shots": 0, "metric": "pass@1"}
    return None


def config(benchmark: str, task: str) -> dict[str, Any] | None:
    """The lm-eval config of a task of imported programs; None for any other task."""
    if benchmark in PYTHON:
        tests = PYTHON[benchmark][1]
        return _config(task, tests, {"base": run_base, "plus": run_plus}[tests], ["python"])
    if benchmark == "multipl_e":
        return _config(
            task, "executed", run_multipl_e, [language for language, name in MULTIPL_E.items() if name == task]
        )
    return None


def _config(task: str, label: str, run: Any, languages: list[str]) -> dict[str, Any]:
    return {
        "task": task,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{tests}}",
        "filter_list": [{"name": label, "filter": [{"function": "custom", "filter_fn": run}, TAKE_FIRST]}],
        "process_results": worth,
        "metric_list": [{"metric": "pass@1", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, "languages": languages},
    }


def worth(doc: dict[str, Any], results: list[str], *, rule: str = "finished") -> dict[str, float]:
    """pass@1: all tests finished and passed, or by the exit code and messages alone, as some results were published."""
    status = results[0]
    passed = status.published if rule == "exit" and isinstance(status, Ran) else status == "passed"
    return {"pass@1": float(passed)}


def source(prompt: str, answer: str) -> str:
    """The program of an answer: what continues the prompt, or the whole again, perhaps in a fenced block.

    A stub with a docstring is a function of its own, so that a whole program may follow it.
    """
    code = multipl_e.fenced(answer)
    return prompt.strip() + "\n" + code.split("\n```")[0]


def run_base(resps: list[list[str]], docs: list[dict[str, Any]], *, compare: str = "exact") -> list[list[Extracted]]:
    """An lm-eval filter: the status of each program under its doc's base inputs, or its checks where it has none.

    ``compare="sets"`` takes the answers of a few problems as sets: see :func:`evalplus.problem`.
    """
    if "base_input" in docs[0]:
        return run_evalplus(resps, docs, partial(_problem, compare=compare), _continued, "base")
    return run_all(resps, docs, lambda doc, text: Program("python", source(doc["prompt"], text), doc["tests"]))


def run_plus(resps: list[list[str]], docs: list[dict[str, Any]], *, compare: str = "exact") -> list[list[Extracted]]:
    """An lm-eval filter: the status of each program under its doc's base and plus inputs."""
    return run_evalplus(resps, docs, partial(_problem, compare=compare), _continued, "plus")


def _problem(doc: dict[str, Any], *, compare: str) -> evalplus.Problem:
    return evalplus.problem(doc, sets=compare == "sets")


def _continued(doc: dict[str, Any], text: str) -> str:
    return source(doc["prompt"] if doc["continues"] else "", text)


def run_multipl_e(
    resps: list[list[str]], docs: list[dict[str, Any]], *, assembly: str = "published"
) -> list[list[Extracted]]:
    """An lm-eval filter: the status of each program of one language."""
    program = partial(_multipl_e, assembly=assembly)
    programs = [assembled(program, doc, text) for doc, texts in zip(docs, resps, strict=True) for text in texts]
    return in_places(resps, programs, [_ran(verdict) for verdict in executed(programs)])


def _multipl_e(doc: dict[str, Any], text: str, *, assembly: str) -> Program:
    if doc["form"] == "chat":
        published = assembly == "published"
        return multipl_e.chat_program(doc["language"], doc["prompt"], text, doc["tests"], published=published)
    return multipl_e.base_program(doc["language"], doc["prompt"], text, doc["tests"], doc["stop_tokens"])


def _ran(verdict: Verdict) -> Ran:
    made = Ran(verdict.status, "executed")
    made.published = verdict.published_pass
    return made
