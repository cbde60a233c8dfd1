"""Running the programs that answers hold: all docs of a task at once, with the run's own sandbox and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.score.execution import evalplus
from harness.score.execution.run import execute
from harness.score.execution.spec import Program, SandboxName, Verdict
from harness.score.extract import UNPARSED, Extracted
from harness.score.limit import EXTRACTION_SECONDS, UNREADABLE, limited

Made = TypeVar("Made")


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
    programs = [assembled(make, doc, text) for doc, texts in zip(docs, resps, strict=True) for text in texts]
    return in_places(resps, programs, [taken(verdict) for verdict in executed(programs)])


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
        None if (code := assembled(make, doc, text)) is None else (item.task_id, code)
        for item, doc, texts in zip(problems, docs, resps, strict=True)
        for text in texts
    ]
    settings = current()
    verdicts = evalplus.evaluate(
        {item.task_id: item for item in problems},
        [program for program in programs if program is not None],
        tests=tests,
        sandbox=settings.sandbox,
        workers=settings.workers,
        cache=settings.cache,
    )
    return in_places(resps, programs, [taken(getattr(verdict, tests)) for verdict in verdicts])


def assembled(make: Callable[[dict[str, Any], str], Made], doc: dict[str, Any], text: str) -> Made | None:
    """What an answer becomes; None where none can be made of it within the time limit."""
    try:
        with limited(EXTRACTION_SECONDS):
            return make(doc, text)
    except UNREADABLE:
        return None


def executed(programs: Sequence[Program | None]) -> list[Verdict]:
    """The verdicts on those programs that could be made, with the settings in force."""
    settings = current()
    made = [program for program in programs if program is not None]
    return execute(made, sandbox=settings.sandbox, workers=settings.workers, cache=settings.cache)


def taken(verdict: Verdict) -> Extracted:
    """A verdict's status as what was extracted."""
    return Extracted(verdict.status, "executed")


def in_places(resps: list[list[str]], programs: Sequence[Any], statuses: Iterable[Extracted]) -> list[list[Extracted]]:
    """The statuses of those programs that could be made, in their answers' places; the others are unparsed."""
    made, rest = iter(programs), iter(statuses)
    return [[Extracted(UNPARSED) if next(made) is None else next(rest) for _ in texts] for texts in resps]
