"""A time limit for code of our own that reads what a model wrote: no text may stop a run."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

EXTRACTION_SECONDS: Final = 5.0
"""For all rules on one text."""

VERDICT_SECONDS: Final = 20.0
"""For the comparison of one answer with its target."""


class OutOfTime(Exception):
    """The limit is over."""


UNREADABLE: Final = (OutOfTime, ValueError, ArithmeticError, RecursionError, MemoryError)
"""What a text that cannot be read raises: it counts as unparsed."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``OutOfTime`` in the block once it has taken this long; off the main thread there is no limit.

    The alarm of an outer block, or of another library, bounds this one and goes on afterwards with what it has left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.monotonic()
    before, _ = signal.getitimer(signal.ITIMER_REAL)
    handler = signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, before) if before else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            signal.setitimer(signal.ITIMER_REAL, max(before - (time.monotonic() - began), 0.001))


def _over(*_: object) -> NoReturn:
    raise OutOfTime
