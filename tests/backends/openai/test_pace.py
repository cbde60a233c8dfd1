"""The gate by itself, on a simulated clock and server."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from harness.backends.openai.faults import asked_to_wait
from harness.backends.openai.pace import Pace, duration


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    loop = Clock()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def load(pace: Pace, n: int, *, latency: float, slots: int | None = None, limit: int | None = None) -> float:
    """Seconds that n requests take of a server with so many slots (others queue) and such a limit (others get 429)."""
    loop = asyncio.get_running_loop()
    free: list[float] = [0.0] * (slots or 10**6)
    heapq.heapify(free)
    todo = list(range(n))
    noise = random.Random(0)

    async def one() -> None:
        while True:
            went = await pace.enter(1)
            if limit is not None and pace.in_flight > limit:
                await asyncio.sleep(0.002)
                pace.turned_away(went)
                pace.leave()
                await asyncio.sleep(0.1)
                continue
            start = max(loop.time(), heapq.heappop(free))
            end = start + latency * noise.uniform(0.8, 1.2)
            heapq.heappush(free, end)
            await asyncio.sleep(end - loop.time())
            pace.leave()
            pace.answered(went, 20)
            return

    async def worker() -> None:
        while todo:
            todo.pop()
            await one()

    began = loop.time()
    await asyncio.gather(*(worker() for _ in range(1000)))
    return loop.time() - began


def test_it_opens_up_to_the_cap_where_nothing_holds_it_back() -> None:
    async def main() -> None:
        pace = Pace(64)
        seconds = await load(pace, 6400, latency=0.05)
        assert pace.most == 64
        assert seconds < 1.15 * 6400 * 0.05 / 64

    run(main())


def test_unconfigured_it_goes_far_beyond_one_at_a_time() -> None:
    async def main() -> float:
        return await load(Pace(), 5000, latency=0.05)

    assert run(main()) < 5000 * 0.05 / 100


def test_a_server_with_few_slots_is_not_buried() -> None:
    async def main() -> None:
        pace = Pace()
        seconds = await load(pace, 6000, latency=0.05, slots=16)
        assert seconds < 1.1 * 6000 * 0.05 / 16, "its slots are never idle"
        assert pace.limit < 64, "and the queue is short"
        assert pace.most <= 128

    run(main())


def test_429_halves_it_and_it_stays_near_the_server_s_limit() -> None:
    async def main() -> None:
        pace = Pace()
        seconds = await load(pace, 6000, latency=0.05, limit=20)
        assert seconds < 2 * 6000 * 0.05 / 20
        assert pace.limit <= 42

    run(main())


def test_one_burst_of_refusals_counts_once() -> None:
    async def main() -> None:
        pace = Pace(100)
        pace.limit = 80.0
        went = [await pace.enter(1) for _ in range(40)]
        await asyncio.sleep(0.01)
        for moment in went:
            pace.turned_away(moment)
        assert pace.limit == 40

    run(main())


@pytest.mark.parametrize(("known", "seconds"), [
    ({"requests_per_minute": 600}, 9.9), ({"tokens_per_minute": 6000}, 9.9), ({}, 0.0),
])  # fmt: skip
def test_known_limits_are_kept(known: dict[str, float], seconds: float) -> None:
    async def main() -> None:
        pace = Pace(1000, **known)  # type: ignore[arg-type]
        pace.limit = 1000.0
        for _ in range(100):
            await pace.enter(10)
        assert asyncio.get_running_loop().time() == pytest.approx(seconds)

    run(main())


def test_with_nothing_left_it_waits_for_the_reset() -> None:
    async def main() -> None:
        pace = Pace()
        pace.heed({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"})
        await pace.enter(1)
        assert asyncio.get_running_loop().time() == 0
        pace.heed({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2s"})
        await pace.enter(1)
        assert asyncio.get_running_loop().time() == pytest.approx(62)

    run(main())


@pytest.mark.parametrize(("text", "seconds"), [
    ("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3s", 3723), ("7.66s", 7.66), ("12", 12), ("soon", 1), ("-4", 0),
])  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("headers", "seconds"), [
    ({}, None), ({"retry-after": "2"}, 2), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "30"}, 0.03),
    ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0), ({"retry-after": "in a while"}, None),
    ({"retry-after": "nan"}, None), ({"retry-after": "-1"}, None),
])  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_to_wait(headers) == seconds


@pytest.mark.parametrize("limits", [{}, {"requests_per_minute": 12000}, {"tokens_per_minute": 9000}], ids=str)
@pytest.mark.parametrize("cap", [1, 3, 12])
def test_first_come_first_served(cap: int, limits: dict[str, float]) -> None:
    """Requests go in their order, so that equal prefixes stay neighbours; who gives up in the queue blocks nobody."""

    async def main() -> list[int]:
        pace, went, noise = Pace(cap, **limits), [], random.Random(1)  # type: ignore[arg-type]

        async def one(number: int, takes: float) -> None:
            at = await pace.enter(1)
            went.append(number)
            await asyncio.sleep(takes)
            pace.leave()
            pace.answered(at, 1.0)

        tasks = [asyncio.create_task(one(i, noise.uniform(0.01, 0.02))) for i in range(60)]
        await asyncio.sleep(0.015)
        pace.close_for(0.1)
        given_up = range(40, 60, 2)
        for i in given_up:
            tasks[i].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pace.in_flight == 0
        assert pace.most == cap if not limits else pace.most <= cap
        return went

    assert run(main()) == [i for i in range(60) if i < 40 or i % 2]


def test_a_place_is_not_lost_with_who_was_called_to_it() -> None:
    async def main() -> None:
        pace = Pace(1)
        await pace.enter(1)
        called, after = (asyncio.create_task(pace.enter(1)) for _ in range(2))
        await asyncio.sleep(0)
        pace.leave()
        called.cancel()
        await asyncio.wait_for(after, 1.0)
        assert called.cancelled()
        assert pace.in_flight == 1

    run(main())
