"""How many requests are in flight: as many as the server takes, found out on the way.

The limit doubles with every round of answers until something says stop, then grows by one a round (additive increase,
multiplicative decrease: Chiu and Jain 1989; the doubling is slow start: Jacobson 1988). A server says stop by 429 and
503, which halve it. It also says so by answers that take longer: by Little's law, a limit that grows by half and brings
hardly more tokens a second has only made the queue longer, and is taken back. Latency alone would not do, as it grows
with the answers' length. What the server prescribes (``Retry-After``, rate-limit headers, known limits a minute) is
obeyed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

FIRST = 8  # in flight at the start
MOST = 512  # in flight where the user sets no cap: sockets are not without limit
GROWN = 1.5  # times the last good limit: time to see what it has brought
WORTH = 0.2  # the share of its promise that a higher limit must keep
EASE = 0.85  # the limit's share that is kept where the server has become slow
SLOW = 0.5  # the rate's share that says so
ROUND = 16  # answers at least, to measure a rate
SAID = 60.0  # seconds of a wait that is worth a line in the log
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass
class Pace:
    """The gate that every attempt passes; for one event loop."""

    cap: int | None = None
    """The most in flight."""
    requests_per_minute: float | None = None
    """A limit that the user knows."""
    tokens_per_minute: float | None = None
    """The same, in tokens."""
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    """Seconds that only grow."""
    limit: float = field(init=False)
    """How many may be in flight now."""
    in_flight: int = field(default=0, init=False)
    """How many are."""
    most: int = field(default=0, init=False)
    """How many were at most."""

    def __post_init__(self) -> None:
        self._cap = self.cap or MOST
        self.limit = float(min(FIRST, self._cap))
        self._doubling = True
        self._shrunk_at = float("-inf")
        self._closed_until = float("-inf")
        self._next = float("-inf")
        self._waiting: deque[tuple[asyncio.Future[float], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._full_at = float("-inf")
        self._answers = 0
        self._round = ROUND
        self._work = 0.0
        self._began: float | None = None
        self._good: tuple[float, float] | None = None

    async def enter(self, tokens: int) -> float:
        """Wait until one more request may go, and count it as in flight.

        Args:
            tokens: it may take, for ``tokens_per_minute``.

        Returns:
            When it went, for :meth:`answered` and :meth:`turned_away`.
        """
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, tokens))
        self._wake()
        if not place.done() and max(self._closed_until, self._next) <= (now := self.clock()):
            self._full_at = now
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled():  # let go, and cancelled before it went
                self.leave()
            raise

    def leave(self) -> None:
        """A request is back, whatever became of it."""
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        """Let go who may; first come, first served, so that equal prefixes stay neighbours."""
        while self._waiting:
            place, tokens = self._waiting[0]
            now, ready = self.clock(), max(self._closed_until, self._next)
            if place.done():  # given up
                self._waiting.popleft()
            elif ready > now:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(ready - now, self._ring)
                return
            elif self.in_flight >= int(self.limit):
                return
            else:
                self._waiting.popleft()
                self._go(now, tokens)
                place.set_result(now)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _go(self, now: float, tokens: int) -> None:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        gap = 60.0 / self.requests_per_minute if self.requests_per_minute else 0.0
        if self.tokens_per_minute:
            gap = max(gap, 60.0 * tokens / self.tokens_per_minute)
        self._next = now + gap

    def answered(self, went: float, work: float) -> None:
        """A request that went at that time was answered; ``work`` is in tokens."""
        if self._began is None:
            self._began = went
        self._answers += 1
        self._work += work
        # others had to wait while this one was on its way: the limit is what held them back
        used = self._full_at >= went
        if self._doubling and used:
            # one more for each answer doubles the limit in a round
            self.limit = min(self.limit + 1, self._cap)
            self._wake()
        if self._answers >= self._round:
            self._judge(used)

    def _judge(self, used: bool) -> None:
        """At the end of a round: has the limit been good?"""
        assert self._began is not None
        now = self.clock()
        rate = self._work / max(now - self._began, 1e-6)
        self._answers, self._work, self._began = 0, 0.0, now
        self._round = max(int(self.limit), ROUND)
        if not used:
            return
        if self._good is None:
            self._good = self.limit, rate
            return
        limit, before = self._good
        if self.limit >= GROWN * limit:
            if rate < before * (1 + WORTH * (self.limit / limit - 1)):
                self.limit = limit
                self._doubling = False
            self._good = self.limit, rate
        elif rate < SLOW * before:
            self.limit = max(1.0, self.limit * EASE)
            self._doubling = False
            self._good = self.limit, rate
        elif not self._doubling:
            self.limit = min(self.limit + 1, self._cap)
            self._wake()

    def turned_away(self, went: float) -> None:
        """The server has too much to do; of all requests that went before the last cut, one counts."""
        if went < self._shrunk_at:
            return
        self._shrunk_at = self.clock()
        self._doubling = False
        self.limit = max(1.0, self.limit / 2)
        self._answers, self._work, self._began, self._good = 0, 0.0, None, None

    def close_for(self, seconds: float) -> None:
        """Let no request go for so long."""
        if seconds > SAID:
            log.warning("the server asks to wait %.0f s", seconds)
        self._closed_until = max(self._closed_until, self.clock() + seconds)

    def heed(self, headers: Mapping[str, str]) -> None:
        """Obey rate-limit headers: with nothing left, wait until there is."""
        for what in ("requests", "tokens"):
            left = headers.get(f"x-ratelimit-remaining-{what}")
            if left is not None and left.strip() == "0":
                self.close_for(min(duration(headers.get(f"x-ratelimit-reset-{what}", "1s")), 3600.0))


def duration(text: str) -> float:
    """Seconds of ``1s``, ``6m0s``, ``20ms`` or a plain number; 1 where it is none of these."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
    if parts:
        return float(sum(float(number) * UNITS[unit] for number, unit in parts))
    try:
        return max(0.0, float(text))
    except ValueError:
        return 1.0
