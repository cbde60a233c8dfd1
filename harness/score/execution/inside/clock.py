"""When the time of a run is up, on a machine that may be busy with other things."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 3
"""A run may take this many times its limit by the clock while its processor time stays within the limit."""

IDLE: Final = 0.1
"""Below this share of its limit in processor time, a run is taken to sleep, which no patience helps. It may
also be starved of the processor: so it is repeated alone, with patience, before it counts as a timeout."""


def more_time(limit: float, elapsed: float, cpu: float, alone: bool) -> float:
    """Seconds that a run gets beyond `elapsed`; 0 where its time is up.

    The limit is meant for a machine that has nothing else to do: there a program that computes has the
    processor all the time, so what it has had of the processor is the time that counts.
    """
    left = limit - cpu
    sleeps = cpu < IDLE * limit and not alone
    if left <= 0 or sleeps or elapsed >= PATIENCE * limit:
        return 0.0
    return min(max(left, 0.01), PATIENCE * limit - elapsed)
