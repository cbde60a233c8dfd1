"""Backends that replicas can make in their own processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.backends.base import Response
from harness.errors import UserError
from harness.plan.request import Request
from tests.conftest import RuleBackend, rule_answer


class Instant(RuleBackend):
    """Answers at once; prompts are no tokens of a tokenizer."""

    def __init__(self) -> None:
        super().__init__(batch=256)


class Slow(RuleBackend):
    """Takes its time, one request a batch, and notes who answered what in a folder."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(batch=1)
        self.folder, self.seconds = folder, seconds

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for request in requests:
            time.sleep(self.seconds)
            with (self.folder / f"{os.getpid()}").open("a") as file:
                file.write(request.hash + "\n")
            yield [(request, rule_answer(request))]


class Together(Slow):
    """Goes on after its first request only when another process has answered one too, however late it starts."""

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for batch in super().answer(requests):
            until = time.monotonic() + 60
            while len([file for file in self.folder.iterdir() if file.name.isdigit()]) < 2:
                if time.monotonic() > until:
                    raise TimeoutError("one process alone has been given requests for a minute")
                time.sleep(0.01)
            yield batch


class Dying(RuleBackend):
    """The first ``times`` processes that meet the request with this query are killed by it."""

    def __init__(self, folder: Path, query: str, times: int) -> None:
        super().__init__(batch=1)
        self.folder, self.query, self.times = folder, query, times

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for batch in super().answer(requests):
            time.sleep(0.02)
            if any(request.query == self.query for request, _ in batch):
                graves = len(list(self.folder.glob("grave-*")))
                if graves < self.times:
                    (self.folder / f"grave-{graves}").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            yield batch


class Complaining(RuleBackend):
    """Finds what the user must mend while it answers."""

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        raise UserError("backend.boundary = strict, and it merges.", "Set it to split.")
        yield []


class Elsewhere(RuleBackend):
    """Has another model in every process."""

    def fingerprint(self) -> str:
        return f"rule-{os.getpid()}"
