"""The same requests through several processes: one process builds, sends and reads some 1,300 requests a second.

Each process has a client of its own, a share of the requests and of the limits, and sends its answers back as they
come. None of them knows what the others spend, so that a budget takes a single process; nor that a server has asked
another one to wait, so that each is told by itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
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

Answers = list[tuple[str, Response]]  # by the requests' hashes
LEAVE = 5.0  # seconds for a process to end by itself
SAYS = 0.2  # seconds until a process says again what its work took


@dataclass(frozen=True)
class News:
    """What a process says beside its answers: what its work took so far."""

    tally: Tally = field(default_factory=Tally)
    """Attempts and faults."""
    charged: float = 0.0
    """US dollars, those lost among them."""
    lost: float = 0.0
    """US dollars that no answer came of."""
    done: bool = False
    """Whether nothing more will come."""
    error: Exception | None = None
    """What ended its work."""


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
    latest: dict[Any, News] = {}
    try:
        for part in parts:
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, part, found), daemon=True)
            process.start()
            pipes[here], latest[here] = process, News()
            there.close()
        for i, pipe in enumerate(pipes):
            with contextlib.suppress(OSError):  # it is dead, which its silence says below
                pipe.send(requests[i :: len(parts)])
        while waiting := [pipe for pipe, last in latest.items() if not last.done]:
            for pipe in wait(waiting):
                assert isinstance(pipe, Connection)
                before = latest[pipe]
                news = _receive(pipe, before, pipes[pipe])
                if isinstance(news, list):
                    yield [(asked[key], response) for key, response in news]
                else:
                    latest[pipe] = news
                    budget.book(news.charged - before.charged, news.lost - before.lost)
    finally:
        tally.add([last.tally for last in latest.values()])
        for process in pipes.values():
            process.terminate()
        for process in pipes.values():
            process.join(LEAVE)
            process.kill()
    for last in latest.values():
        if last.error is not None:
            raise last.error


def _receive(pipe: Connection, last: News, process: SpawnProcess) -> Answers | News:
    """What a process says next; that it died, if it says nothing any more."""
    try:
        news: Answers | News = pipe.recv()
    except (EOFError, OSError):  # before it wrote, or while it did
        process.join(LEAVE)
        return replace(last, done=True, error=BackendError(f"a client process ended with exit code {process.exitcode}"))
    return news


def _work(pipe: Connection, options: OpenAIOptions, found: Found) -> None:
    """A process: answer what comes through the pipe, and say now and then what that took."""
    # an interrupt reaches the whole group; the process that started this one says what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    from harness.backends.openai.backend import OpenAIBackend

    backend = OpenAIBackend(options)
    backend.found = found
    budget = Budget(None)
    error: Exception | None = None
    said = time.monotonic()
    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        try:
            for batch in backend.answer_within(pipe.recv(), budget):
                pipe.send([(request.hash, response) for request, response in batch])
                if time.monotonic() - said > SAYS:
                    pipe.send(News(backend.tally, budget.charged, budget.lost))
                    said = time.monotonic()
        except (BackendError, UserError) as met:
            error = met
        pipe.send(News(backend.tally, budget.charged, budget.lost, done=True, error=error))


def _leave_with_parent() -> None:
    """End when the process that started this one has, even while the server is silent and there is nothing to send."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
