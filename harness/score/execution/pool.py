"""Run many tasks in parallel; what comes out depends neither on their order nor on the number of workers."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.score.execution.sandbox import Agent, AgentDied
from harness.score.execution.spec import SandboxName

OWN_FAULT: Final = 0.9
"""A run that had the processor for this share of its time limit has itself to blame. With less, it waited:
for a busy machine, perhaps, so it is repeated alone before it counts as a timeout."""


@dataclass(frozen=True)
class Task:
    """One request to an agent, as the agent reads it."""

    language: str
    """Short name of the language, whose warm files the agent must show."""

    request: Callable[[Agent], Mapping[str, Any]]
    """Makes the part that the program's process may know; given the agent, which knows where files are
    shown."""

    secret: Mapping[str, Any]
    """The part that only the judge may know: expected outputs, tests."""

    weight: float = 0.0
    """About how long it takes, in any unit: the longest start first, so that none is left alone at the
    end."""


@dataclass(frozen=True)
class Outcome:
    """What an agent measured, or why it did not."""

    result: Any
    """The agent's result; None where the agent died twice."""

    died: str = ""
    """The last words of an agent that died."""


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run(tasks: Sequence[Task], sandbox: SandboxName, workers: int | None, folders: Mapping[str, Path]) -> list[Outcome]:
    """Run tasks by `workers` agents (the cores by default), then the doubtful ones again, alone."""
    count = max(1, min(workers or default_workers(), len(tasks)))
    outcomes: dict[int, Outcome] = {}
    order = sorted(range(len(tasks)), key=lambda number: -tasks[number].weight)
    _run_all(tasks, order, sandbox, count, folders, outcomes)
    again = [i for i, outcome in sorted(outcomes.items()) if outcome.died or (starved(outcome.result))]
    _run_all(tasks, again, sandbox, 1, folders, outcomes, alone=True)
    return [outcomes[i] for i in range(len(tasks))]


def starved(result: Any) -> bool:
    """Whether a run ended by its time limit without having had the processor for about as long."""
    if isinstance(result, list):
        last = result[-1]
        return bool(last["reason"] == "timeout" and last["cpu"] < OWN_FAULT * last.get("limit", last["wall"]))
    if result["reason"] == "timeout":
        return bool(result["cpu"] < OWN_FAULT * result["limit"])
    return bool(result["status"] == "timeout" and result["call_cpu"] < OWN_FAULT * result["call_limit"])


def _run_all(
    tasks: Sequence[Task], numbers: Iterable[int], sandbox: SandboxName, workers: int,
    folders: Mapping[str, Path], outcomes: dict[int, Outcome], alone: bool = False,
) -> None:  # fmt: skip
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    if waiting.empty():
        return
    failures: list[BaseException] = []

    def work() -> None:
        try:
            _work(tasks, waiting, sandbox, folders, outcomes, alone)
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it
            failures.append(error)

    # An agent dies with the thread that started it, so the thread lives as long.
    threads = [threading.Thread(target=work, name=f"execution-{n}") for n in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        while not waiting.empty():  # interrupted: let the workers end after their present task
            waiting.get()
        raise
    if failures:
        raise failures[0]


def _work(
    tasks: Sequence[Task], waiting: queue.SimpleQueue[int], sandbox: SandboxName,
    folders: Mapping[str, Path], outcomes: dict[int, Outcome], alone: bool = False,
) -> None:  # fmt: skip
    agent: Agent | None = None
    try:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            agent = agent or Agent(sandbox, folders=folders)
            task = tasks[number]
            try:
                request = {**task.request(agent), "alone": alone}
                outcomes[number] = Outcome(agent.run(request, task.secret))
            except AgentDied as error:
                outcomes[number] = Outcome(None, str(error) or "no word")
                agent.close()
                agent = None
    finally:
        if agent:
            agent.close()
