"""What prompts share: which stretches of tokens are kept once for all texts that continue them.

Every distinct token is computed once in any case (``trie.py``). This decides how its keys and values are kept while
texts grow: a stretch that is worth it as a *segment*, read once a step for all texts below it; the rest is copied to
each text's own pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.backends.torch.trie import Node, Stream, Trie

WORTH = 256  # tokens not read again in each step that make up for the calls that one more segment costs


@dataclass(frozen=True)
class Segment:
    """A stretch of tokens that several prompts share."""

    place: int
    """Index in the stream of its last token."""
    start: int
    """Depth of its first token."""
    stop: int
    """Depth after its last token."""

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Prompt:
    """A distinct context."""

    place: int
    """Index in the stream of its last token."""
    start: int
    """Depth at which its own part begins: what is not in a segment."""
    stop: int
    """Its length."""
    segments: tuple[int, ...]
    """Its segments by number, from the first token on; each begins where the one before ends."""
    requests: tuple[int, ...]
    """Who asks it, by index."""

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Shared:
    """All contexts, laid out."""

    stream: Stream
    """Every distinct prompt token once, depth first."""
    segments: tuple[Segment, ...]
    """In the order of their places."""
    prompts: tuple[Prompt, ...]
    """In the order of their places."""


def share(contexts: Sequence[Sequence[int]], slots: int, worth: int = WORTH) -> Shared:
    """Lay out contexts of which at most ``slots`` grow at once."""
    trie = Trie()
    requests: dict[int, list[int]] = {}
    ends: dict[int, Node] = {}
    for index, context in enumerate(contexts):
        node = trie.insert(np.asarray(context, np.int64))
        ends[id(node)] = node
        requests.setdefault(id(node), []).append(index)
    stream = trie.lay_out()
    counts = _counts(trie.root, {key: len(asked) for key, asked in requests.items()})
    segments: list[Segment] = []
    prompts: list[Prompt] = []
    todo: list[tuple[Node, int, tuple[int, ...]]] = [(trie.root, 0, ())]
    while todo:
        node, start, chain = todo.pop()
        stop, place = node.first + len(node.tokens), node.start + len(node.tokens) - 1
        if (stop - start) * (min(counts[id(node)], slots) - 1) >= worth:
            chain = (*chain, len(segments))
            segments.append(Segment(place, start, stop))
            start = stop
        if id(node) in ends:
            prompts.append(Prompt(place, start, stop, chain, tuple(requests[id(node)])))
        todo.extend((node.children[first], start, chain) for first in sorted(node.children, reverse=True))
    return Shared(stream, tuple(segments), tuple(prompts))


def _counts(root: Node, own: dict[int, int]) -> dict[int, int]:
    """How many requests begin with the tokens up to the end of each run, by the run's id."""
    order, todo = [], [root]
    while todo:
        node = todo.pop()
        order.append(node)
        todo.extend(node.children.values())
    counts: dict[int, int] = {}
    for node in reversed(order):
        counts[id(node)] = own.get(id(node), 0) + sum(counts[id(child)] for child in node.children.values())
    return counts
