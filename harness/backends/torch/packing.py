"""What one forward pass computes: a stretch of the stream, and what each of its tokens attends to.

The stream (``trie.py``) is cut into packs of a given size. Depth first, all that a pack needs from earlier ones is the
*path*: the ancestors of its first token. So one path is all the KV cache that scoring keeps, however many requests
there are, and no token is computed twice.

Inside a pack, attention is laid out as tiles, so that almost nothing is computed and then masked away: a few dense ones
over the path, one a block over the block's ancestors inside the pack, and a small masked one a block. Or as strips,
each of which has all keys of a few queries side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harness.backends.torch.trie import Ints, Stream

Bools = npt.NDArray[np.bool_]

BLOCK = 128  # queries a masked tile: fewer make more calls, more compute more that is masked away
STRIP = 128  # queries a strip: fewer make more calls, more compute more that is masked away


@dataclass(frozen=True)
class Reach:
    """Some neighbouring queries of a pack, all of which attend to the same first keys of a list."""

    start: int
    """The first query, counted from the start of the pack."""
    stop: int
    """After the last query."""
    keys: int
    """How many keys they attend to."""


@dataclass(frozen=True)
class Block:
    """Some neighbouring queries of a pack."""

    start: int
    """The first query, counted from the start of the pack."""
    stop: int
    """After the last query."""
    ancestors: Ints
    """The first query's ancestors inside the pack, counted from the start of the pack."""
    reaches: tuple[Reach, ...]
    """Which of these ancestors the queries attend to."""
    over: Ints | None
    """For each token of the block: where its descendants in the block end, counted from the start of the block.
    None if all of them form a chain, so that plain causal attention is right."""


@dataclass(frozen=True)
class Strip:
    """Some neighbouring queries of a pack, with all keys that any of them attends to, the path's first."""

    start: int
    """The first query, counted from the start of the pack."""
    stop: int
    """After the last query."""
    path: int
    """How many tokens of the path come first."""
    inside: Ints
    """The keys in the pack, counted from its start."""
    free: int
    """How many of the first keys all queries attend to."""
    seen: Bools
    """Which of the other keys each query attends to: (queries, keys after the free ones)."""


@dataclass(frozen=True)
class Pack:
    """A stretch of the stream that is computed in one pass."""

    start: int
    """Index of its first token."""
    stop: int
    """Index after its last token."""
    tokens: Ints
    """Token ids."""
    positions: Ints
    """Position of each token in its sequences."""
    path: int
    """Length of the path that is kept from before: the ancestors of the first token."""
    over: Ints
    """For each token: where its descendants in the pack end, counted from the start of the pack."""
    shared: Ints
    """For each token: how many tokens of the path it attends to; never increasing."""
    keep_path: int
    """How much of the path the token after the pack descends from."""
    keep: Ints
    """Tokens of the pack that the token after the pack descends from, counted from the start of the pack."""

    def __len__(self) -> int:
        return self.stop - self.start

    def path_reaches(self) -> tuple[Reach, ...]:
        """Which tokens of the path the queries attend to."""
        return _reaches(self.shared, 0)

    def key_ends(self) -> Ints:
        """For each key, those of the path first: after which query it is no longer attended to.

        It is attended to from query 0 on if it belongs to the path, else from itself on.
        """
        ascending = self.shared[::-1]
        seen_by = len(self) - np.searchsorted(ascending, np.arange(self.path), side="right")
        return np.concatenate([seen_by, self.over])


def make_pack(stream: Stream, start: int, stop: int) -> Pack:
    """The stretch ``start`` … ``stop`` of the stream."""
    shared = stream.shared(start, stop + 1 if stop < len(stream) else stop)
    last = stop == len(stream)
    return Pack(
        start,
        stop,
        stream.tokens[start:stop],
        stream.depth[start:stop],
        int(stream.depth[start]),
        np.minimum(stream.over[start:stop], stop) - start,
        shared[: stop - start],
        0 if last else int(shared[-1]),
        np.empty(0, np.int64) if last else stream.ancestors(stop, start) - start,
    )


def blocks(pack: Pack, size: int = BLOCK) -> Iterator[Block]:
    """The pack's queries in blocks of at most ``size``."""
    inside = Stream(pack.tokens, pack.positions, pack.over)
    for start in range(0, len(pack), size):
        stop = min(start + size, len(pack))
        over = np.minimum(pack.over[start:stop], stop) - start
        ancestors = inside.ancestors(start)
        # of the shared ancestors, the first ones lie on the path
        shared = inside.shared(start, stop) - int(pack.shared[start])
        chain = bool((over == stop - start).all())
        reaches = _reaches(shared, start) if len(ancestors) else ()
        yield Block(start, stop, ancestors, reaches, None if chain else over)


def strips(pack: Pack, size: int = STRIP) -> Iterator[Strip]:
    """The pack's queries in strips of at most ``size``."""
    inside = Stream(pack.tokens, pack.positions, pack.over)
    until = pack.key_ends()
    for start in range(0, len(pack), size):
        stop = min(start + size, len(pack))
        most, free = int(pack.shared[start]), int(pack.shared[stop - 1])
        own = np.concatenate([inside.ancestors(start), np.arange(start, stop)])
        queries = np.arange(start, stop)[:, None]
        seen = np.hstack([queries < until[free:most], (own <= queries) & (queries < pack.over[own])])
        yield Strip(start, stop, most, own, free, seen)


def _reaches(counts: Ints, offset: int) -> tuple[Reach, ...]:
    """Neighbours with equal counts together, those with none (or less) left out."""
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    made = (Reach(a + offset, b + offset, int(counts[a])) for a, b in pairwise(edges) if a < b)
    return tuple(r for r in made if r.keys > 0)
