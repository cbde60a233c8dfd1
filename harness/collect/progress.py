"""How far the collection is: a live line on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY = 10.0  # seconds between log lines


class Reporter(Protocol):
    """Is told of every batch."""

    def update(self, done: int, tokens: int, cost: float, failed: int = 0) -> None:
        """So many requests are done, with so many tokens, dollars and failures, all counted from the run's start."""


class Live(AbstractContextManager["Live"]):
    """A progress display on standard error."""

    def __init__(self, total: int, label: str, budget: float | None = None) -> None:
        self._total = total
        self._budget = budget
        self._label = label
        self._last = time.monotonic()
        # rates count from the first batch on: what is before it is mostly the loading of a model
        self._since, self._before = self._last, 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Live:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[spent]}"),
                console=Console(stderr=True),
            )
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=self._total, rate="", spent="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, done: int, tokens: int, cost: float, failed: int = 0) -> None:
        """See :class:`Reporter`."""
        now = time.monotonic()
        first = not self._before
        speed = (done - self._before) / max(now - self._since, 1e-9)
        if first:
            self._since, self._before = now, done
        rate = f"{speed:.1f}/s"
        limit = f" of ${self._budget:g}" if self._budget is not None else ""
        spent = f"{tokens:,} tokens" + (f", ${cost:.4f}{limit}" if cost else "")
        spent += f", {failed} failed" if failed else ""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, rate=rate, spent=spent)
        elif now - self._last >= LINE_EVERY or done == self._total:
            self._last = now
            left = "" if first or not speed else f", about {(self._total - done) / speed:.0f} s left"
            print(f"{self._label}: {done}/{self._total} requests, {rate}, {spent}{left}", file=sys.stderr, flush=True)
