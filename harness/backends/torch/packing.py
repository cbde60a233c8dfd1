"""What one forward pass computes: a stretch of the stream, and what each of its tokens attends to.

The stream (``trie.py``) is cut into packs of a given size. Depth first, all that a pack needs from earlier ones is the
*path*: the ancestors of its first token. So one path is all the KV cache that scoring keeps, however many requests
there are, and no token is computed twice.

Inside a pack, attention is laid out in strips of a few queries, each with the keys that any of them attends to, so that
little is computed and then masked away. What all queries of a strip attend to on the path, its neighbours mostly attend
to as well; these keys can be taken out of the strips into a few large tiles without a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from harness.backends.torch.trie import Ints, Stream

Bools = npt.NDArray[np.bool_]

WORTH = 64  # keys that are worth a call of their own
STRIP = 128  # queries a strip: fewer make more calls, more compute more that is masked away


@dataclass(frozen=True)
class Tile:
    """Some neighbouring queries of a pack, all of which attend to the same first tokens of the path."""

    start: int
    """The first query, counted from the start of the pack."""
    stop: int
    """After the last query."""
    keys: int
    """How many tokens they attend to."""


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

    @property
    def common(self) -> int:
        """How many of the first tokens of the path all queries attend to."""
        return min(self.free, self.path)

    @property
    def dense(self) -> int:
        """How many of the free keys are worth tiles of their own: those of the path, and ancestors in the pack if there
        are enough."""
        ancestors = min(self.free - self.path, len(self.inside) - (self.stop - self.start))
        return self.path + ancestors if ancestors >= WORTH else self.common

    @cached_property
    def is_chain(self) -> bool:
        """Whether after the dense keys come the queries themselves, each of which attends to all before it."""
        seen = self.seen_after(self.dense)
        return seen.shape[0] == seen.shape[1] and np.array_equal(seen, np.tri(len(seen), dtype=bool))

    def seen_after(self, first: int) -> Bools:
        """Which keys each query attends to, without the first ones, which must be free."""
        return np.hstack([np.ones((len(self.seen), self.free - first), bool), self.seen])


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


def strips(pack: Pack, size: int = STRIP) -> Iterator[Strip]:
    """The pack's queries in strips of at most ``size``; one ends where many keys of the path are left behind."""
    inside = Stream(pack.tokens, pack.positions, pack.over)
    until = pack.key_ends()
    edges = [0, *(np.flatnonzero(np.diff(pack.shared) < -WORTH) + 1).tolist(), len(pack)]
    for start, stop in ((a, min(a + size, end)) for begin, end in pairwise(edges) for a in range(begin, end, size)):
        most, common = int(pack.shared[start]), int(pack.shared[stop - 1])
        own = np.concatenate([inside.ancestors(start), np.arange(start, stop)])
        queries = np.arange(start, stop)[:, None]
        seen = np.hstack([queries < until[common:most], (own <= queries) & (queries < pack.over[own])])
        # the first keys in the pack may be ancestors of all queries, too
        free = int(np.argmin(np.append(seen.all(axis=0), False)))
        yield Strip(start, stop, most, own, common + free, seen[:, free:])


def tiles(laid: Sequence[Strip]) -> Iterator[Tile]:
    """What all queries of a strip attend to on the path; neighbours that have as much in common are one tile."""
    for common, group in groupby(laid, key=lambda strip: strip.common):
        if common:
            first, *others = group
            yield Tile(first.start, (others or [first])[-1].stop, common)
