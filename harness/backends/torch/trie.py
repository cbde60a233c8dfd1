"""The trie of many token sequences, laid out as one stream: every distinct prefix token once, depth first.

In this order two numbers a token say everything about who attends to whom: its ``depth`` (how many tokens are before
it in its sequences) and its ``over`` (where its descendants end). Token ``k`` is an ancestor of token ``q``, or ``q``
itself, exactly if ``k <= q < over[k]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """All distinct tokens of some sequences, depth first; every array has one entry a token."""

    tokens: Ints
    """Token ids."""
    depth: Ints
    """Number of tokens before this one in its sequences: its position."""
    over: Ints
    """Index of the first token after this one that does not descend from it."""

    def __len__(self) -> int:
        return len(self.tokens)

    def ancestors(self, index: int, since: int = 0) -> Ints:
        """Indices of the tokens before ``index`` in its sequences, in order, but none before ``since``."""
        return np.flatnonzero(self.over[since:index] > index) + since

    def shared(self, start: int, stop: int) -> Ints:
        """How many ancestors of token ``start`` each token of ``start`` … ``stop`` has too: never increasing."""
        return np.minimum.accumulate(self.depth[start:stop])


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens without a branch."""

    tokens: Ints
    """The ids of the run."""
    first: int
    """Depth of the first of them."""
    parent: Node | None
    """The run before; None for the root, which is empty."""
    children: dict[int, Node] = field(default_factory=dict)
    """The runs after, by their first token."""
    start: int = -1
    """Index of the first token in the stream, once the trie is laid out."""

    def index(self, depth: int) -> int:
        """Index in the stream of the token at this depth, in the sequence that ends with this run."""
        node = self
        while node.first > depth:
            assert node.parent is not None
            node = node.parent
        return node.start + depth - node.first


class Trie:
    """Sequences of token ids, joined where they begin alike."""

    def __init__(self) -> None:
        self.root = Node(np.empty(0, np.int64), 0, None)

    def insert(self, tokens: Ints) -> Node:
        """Add a sequence; the returned run ends where the sequence ends, whatever is added later."""
        node, at = self.root, 0
        while at < len(tokens):
            first = int(tokens[at])
            child = node.children.get(first)
            if child is None:
                child = node.children[first] = Node(tokens[at:], at, node)
                return child
            same = _common(child.tokens, tokens[at:])
            node, at = self._split(child, same), at + same
        return node

    @staticmethod
    def _split(node: Node, length: int) -> Node:
        """The run of the first ``length`` tokens of a run; what is left of the run goes below it."""
        if length == len(node.tokens):
            return node
        assert node.parent is not None
        upper = Node(node.tokens[:length], node.first, node.parent, {int(node.tokens[length]): node})
        node.parent.children[int(upper.tokens[0])] = upper
        node.tokens, node.first, node.parent = node.tokens[length:], node.first + length, upper
        return upper

    def lay_out(self) -> Stream:
        """The stream of all tokens; branches in the order of their first token ids."""
        runs = list(self._depth_first())
        size = sum(len(run.tokens) for run, _ in runs)
        tokens, depth, over = (np.empty(size, np.int64) for _ in range(3))
        for run, end in runs:
            place = slice(run.start, run.start + len(run.tokens))
            tokens[place] = run.tokens
            depth[place] = np.arange(run.first, run.first + len(run.tokens))
            over[place] = end
        return Stream(tokens, depth, over)

    def _depth_first(self) -> Iterator[tuple[Node, int]]:
        """Runs with the end of their descendants, children before parents; sets where each begins."""
        count = 0
        todo: list[tuple[Node, bool]] = [(self.root, False)]
        while todo:
            node, left = todo.pop()
            if left:
                yield node, count
                continue
            node.start, count = count, count + len(node.tokens)
            todo.append((node, True))
            todo.extend((node.children[first], False) for first in sorted(node.children, reverse=True))


def _common(a: Ints, b: Ints) -> int:
    """Length of the longest common beginning."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    return int(differ.argmax()) if differ.any() else n
