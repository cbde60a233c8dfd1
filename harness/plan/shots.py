"""Which few-shot docs stand before a question: a pure function of (seed, task, doc id)."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Collection

SAMPLERS = ("first_n", "seeded")


def choose(
    pool: int, n: int, *, sampler: str, seed: int, task: str, doc_id: str, banned: Collection[int] = ()
) -> tuple[int, ...]:
    """Indices of ``n`` docs of a pool, never a banned one.

    ``first_n`` takes the first docs in file order; ``seeded`` draws without replacement from a stream that
    depends on (seed, task, doc id) alone, so neither the order of docs, nor a subset, nor the number of
    workers changes a shot.

    Raises:
        ValueError: fewer than ``n`` docs are allowed.
    """
    left = pool - sum(0 <= i < pool for i in set(banned))
    if n > left:
        raise ValueError(f"{n} shots asked of {left} docs")
    # lazily: where the shots come from the asked split itself, going through the whole pool for each doc is n squared
    allowed = (i for i in range(pool) if i not in banned)
    if sampler == "first_n":
        return tuple(itertools.islice(allowed, n))
    return tuple(stream(seed, task, doc_id).sample(list(allowed), n))


def stream(seed: int, task: str, doc_id: str) -> random.Random:
    """The random stream of one doc."""
    key = hashlib.sha256(f"{seed}\0{task}\0{doc_id}".encode()).digest()
    return random.Random(int.from_bytes(key[:8], "big"))
