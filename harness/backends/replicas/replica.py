"""What runs in an actor: one backend of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness import __version__
from harness.backends.base import Backend, Response
from harness.plan.request import Request

EVERY = 0.2  # seconds between deliveries: an engine that answers in milliseconds would drown the driver otherwise


@dataclass(frozen=True)
class Identity:
    """Who a replica is."""

    fingerprint: str
    """Of its model."""
    harness: str
    """Version of this program on its node."""


class Replica:
    """One engine; its model is loaded when the first requests come."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._backend = make()
        self._backend.check()

    def identity(self) -> Identity:
        """What must be the same everywhere."""
        return Identity(self._backend.fingerprint(), __version__)

    def answer(self, requests: dict[int, Request]) -> Iterator[list[tuple[int, Response]]]:
        """Responses with the requests' indices, some times a second."""
        index = {request.hash: i for i, request in requests.items()}
        held: list[tuple[int, Response]] = []
        last = time.monotonic()
        for batch in self._backend.answer(list(requests.values())):
            held += [(index[request.hash], response) for request, response in batch]
            if held and time.monotonic() - last >= EVERY:
                yield held
                held, last = [], time.monotonic()
        if held:
            yield held

    def took(self) -> dict[str, Any]:
        """See :meth:`harness.backends.base.Backend.took`."""
        return self._backend.took()
