"""The same requests through several processes: one process builds, sends and reads some 1,300 requests a second.

Each process has a client of its own, a share of the requests and of the limits, and sends its answers back as they
come. None of them knows what the others spend, so that a budget takes a single process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from harness.backends.base import Response
from harness.backends.openai.asking import Tally
from harness.backends.openai.found import Found
from harness.backends.openai.options import OpenAIOptions
from harness.backends.openai.pace import MOST
from harness.collect.budget import Budget
from harness.errors import BackendError, UserError
from harness.plan.request import Request

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Answers = list[tuple[str, Response]]
Report = tuple[Tally, Budget, Exception | None]
LEAVE = 5.0  # seconds for a process to end by itself


def shares(options: OpenAIOptions, processes: int) -> list[OpenAIOptions]:
    """The options of each process: limits are divided, so that together they are what they were."""
    cap = options.concurrency or MOST
    processes = min(processes, cap)

    def part(limit: float | None) -> float | None:
        return None if limit is None else limit / processes

    return [
        replace(
            options,
            processes=1,
            concurrency=cap // processes + (i < cap % processes),
            requests_per_minute=part(options.requests_per_minute),
            tokens_per_minute=part(options.tokens_per_minute),
        )
        for i in range(processes)
    ]


def spread(
    requests: Sequence[Request], options: OpenAIOptions, found: Found, budget: Budget, tally: Tally
) -> Iterator[list[tuple[Request, Response]]]:
    """Answers as they come from any process; what they took is added to ``tally``.

    Raises:
        BackendError: a process died, or what one of them met; the others have finished their shares by then.
    """
    # a fresh interpreter: this one may have threads
    context = multiprocessing.get_context("spawn")
    asked = {request.hash: request for request in requests}
    parts = shares(options, min(options.processes, len(requests)))
    pipes: dict[Any, SpawnProcess] = {}
    try:
        for part in parts:
            here, there = context.Pipe()
            pipes[here] = context.Process(target=_work, args=(there, part, found), daemon=True)
            pipes[here].start()
            there.close()
        for i, pipe in enumerate(pipes):
            with contextlib.suppress(BrokenPipeError):  # it is dead, which its silence says below
                pipe.send(requests[i :: len(parts)])
        reports: list[Report] = []
        waiting = list(pipes)
        while waiting:
            for pipe in wait(waiting):
                assert isinstance(pipe, Connection)
                try:
                    news: Answers | Report = pipe.recv()
                except (EOFError, ConnectionError):
                    pipes[pipe].join(LEAVE)
                    gone = BackendError(f"a client process ended with exit code {pipes[pipe].exitcode}")
                    news = Tally(), Budget(None), gone
                if isinstance(news, list):
                    yield [(asked[key], response) for key, response in news]
                else:
                    reports.append(news)
                    waiting.remove(pipe)
    finally:
        for process in pipes.values():
            process.terminate()
            process.join(LEAVE)
    tally.add([took for took, _, _ in reports])
    for _, spent, _ in reports:
        budget.charged += spent.charged
        budget.lost += spent.lost
    for _, _, error in reports:
        if error is not None:
            raise error


def _work(pipe: Connection, options: OpenAIOptions, found: Found) -> None:
    """A process: answer what comes through the pipe, and say in the end what it took."""
    from harness.backends.openai.backend import OpenAIBackend

    # an interrupt reaches the whole group; the process that started this one says what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    backend = OpenAIBackend(options)
    backend.found = found
    budget = Budget(None)
    error: Exception | None = None
    with contextlib.suppress(EOFError, ConnectionError):  # nobody is there any more
        try:
            for batch in backend.answer_within(pipe.recv(), budget):
                pipe.send([(request.hash, response) for request, response in batch])
        except (BackendError, UserError) as met:
            error = met
        pipe.send((backend.tally, budget, error))
