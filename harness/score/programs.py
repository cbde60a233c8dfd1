"""Running the programs that answers hold: all docs of a task at once, with the run's own sandbox and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.score.execution import evalplus
from harness.score.execution.run import execute
from harness.score.execution.spec import Program, SandboxName
from harness.score.extract import Extracted


@dataclass(frozen=True)
class Execution:
    """How programs are run."""

    sandbox: SandboxName = "auto"
    """See docs/execution.md."""
    workers: int | None = None
    """Programs at once; None takes the number of cores."""
    cache: Path | None = None
    """A file of earlier verdicts."""


# lm-eval calls a task's filters without a way to pass settings along
_current: ContextVar[Execution | None] = ContextVar("execution", default=None)


@contextmanager
def executing(settings: Execution) -> Iterator[None]:
    """Filters run programs with these settings inside the block."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Execution:
    """The settings in force; the defaults outside of any block."""
    return _current.get() or Execution()


def run_all(
    resps: list[list[str]], docs: list[dict[str, Any]], make: Callable[[dict[str, Any], str], Program]
) -> list[list[Extracted]]:
    """The status of each answer's program, in the answers' places."""
    programs = [make(doc, text) for doc, texts in zip(docs, resps, strict=True) for text in texts]
    settings = current()
    verdicts = iter(execute(programs, sandbox=settings.sandbox, workers=settings.workers, cache=settings.cache))
    return [[Extracted(next(verdicts).status, "executed") for _ in texts] for texts in resps]


def run_evalplus(
    resps: list[list[str]],
    docs: list[dict[str, Any]],
    problem: Callable[[dict[str, Any]], evalplus.Problem],
    make: Callable[[dict[str, Any], str], str],
    tests: Literal["base", "plus"],
) -> list[list[Extracted]]:
    """The status of each answer's program on the base inputs, or on base and plus inputs, in the answers' places."""
    problems = [problem(doc) for doc in docs]
    programs = [
        (item.task_id, make(doc, text))
        for item, doc, texts in zip(problems, docs, resps, strict=True)
        for text in texts
    ]
    settings = current()
    verdicts = iter(
        evalplus.evaluate(
            {item.task_id: item for item in problems},
            programs,
            tests=tests,
            sandbox=settings.sandbox,
            workers=settings.workers,
            cache=settings.cache,
        )
    )
    return [[Extracted(getattr(next(verdicts), tests).status, "executed") for _ in texts] for texts in resps]
