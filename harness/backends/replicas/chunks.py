"""Work in portions that keep shared prefixes together: each prefix is computed by as few replicas as can be."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from harness.plan.request import Request

LEAST = 64  # requests in a portion, if there are enough: below that, an engine's batches are not full
PORTIONS = 2  # a portion is what is left, by the replicas, by this: large at first, small at the end


@dataclass(eq=False)
class Chunk:
    """What one replica is given at once."""

    requests: dict[int, Request]
    """By index in the whole work; those that are answered leave."""
    failures: int = 0
    """How many replicas died over it."""


class Work:
    """All requests of a call, handed out portion by portion."""

    def __init__(self, requests: Sequence[Request], replicas: int) -> None:
        self._replicas = replicas
        first: dict[Hashable, int] = {}
        for request in requests:
            first.setdefault(_prefix(request), len(first))
        groups = [first[_prefix(request)] for request in requests]
        # stable: within a prefix, the plan's order
        self._order = sorted(range(len(requests)), key=groups.__getitem__)
        self._groups = [groups[i] for i in self._order]
        self._requests = requests
        self._at = 0
        self._returned: deque[Chunk] = deque()
        self._least = min(LEAST, -(-len(requests) // (PORTIONS * replicas)))

    def __bool__(self) -> bool:
        """Whether anything waits to be handed out."""
        return bool(self._returned) or self._at < len(self._order)

    def take(self) -> Chunk:
        """The next portion: what came back first, then new work, cut between two prefixes where one is near."""
        if self._returned:
            return self._returned.popleft()
        left = len(self._order) - self._at
        size = min(left, max(self._least, -(-left // (PORTIONS * self._replicas))))
        stop = self._border(self._at + size)
        picked = self._order[self._at : stop]
        self._at = stop
        return Chunk({i: self._requests[i] for i in picked})

    def give_back(self, chunk: Chunk) -> None:
        """What a dead replica left unanswered."""
        if chunk.requests:
            chunk.failures += 1
            self._returned.append(chunk)

    def _border(self, wanted: int) -> int:
        """The end of a portion: the border between two prefixes that is nearest, within half a portion."""
        size, end = wanted - self._at, len(self._order)
        for away in range(size // 2 + 1):
            for place in (wanted - away, wanted + away):
                if self._at < place <= end and (place == end or self._groups[place - 1] != self._groups[place]):
                    return place
        return wanted


def _prefix(request: Request) -> Hashable:
    """What other requests share with this one."""
    return request.messages[:-1] if request.messages else request.prefix
