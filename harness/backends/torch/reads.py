"""Where in the stream log-probabilities are read, and how they add up to answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.backends.base import Scored
from harness.backends.torch.trie import Ints, Stream, Trie
from harness.plan.tokens import Encoded


@dataclass(frozen=True)
class Window:
    """One sequence that the model sees, and what is read at its end."""

    tokens: list[int]
    """Input ids."""
    targets: list[int]
    """The ids that should follow each of the last input tokens."""


def windows(context: list[int], continuation: list[int], limit: int) -> Iterator[Window]:
    """The sequences of at most ``limit`` tokens that score a continuation.

    One, cut from the left where it is too long. A continuation that is longer than the model itself is scored in
    stretches that do not overlap: the first follows one token of context, each of the next ones as much of what is
    before it as fits (rolling log-likelihoods, as lm-eval computes them).
    """
    whole = context + continuation
    if len(continuation) <= limit:
        yield Window(whole[-(limit + 1) :][:-1], continuation)
        return
    first = len(context)
    for start in range(first, len(whole), limit):
        stop = min(start + limit, len(whole))
        begin = start - 1 if start == first else max(0, stop - 1 - limit)
        yield Window(whole[begin : stop - 1], whole[start:stop])


@dataclass(frozen=True)
class Reads:
    """Every log-probability that is read; sorted by place."""

    place: Ints
    """Index in the stream of the token after which it is read."""
    target: Ints
    """The id whose log-probability it is."""
    owner: Ints
    """The continuation it belongs to, all continuations of all requests counted through."""

    def between(self, start: int, stop: int) -> Reads:
        """Those of a stretch of the stream."""
        part = slice(*np.searchsorted(self.place, [start, stop]))
        return Reads(self.place[part], self.target[part], self.owner[part])


def lay_out(encoded: Sequence[Encoded], limit: int) -> tuple[Stream, Reads]:
    """The stream of all distinct tokens that the requests need, and where it is read.

    The last token of a continuation is in no sequence: nothing is read after it.
    """
    trie = Trie()
    ends = []
    owner = 0
    for request in encoded:
        for continuation in request.continuations:
            for window in windows(request.context, continuation, limit):
                tokens = np.asarray(window.tokens, np.int64)
                ends.append((trie.insert(tokens), len(tokens), window.targets, owner))
            owner += 1
    stream = trie.lay_out()
    place, target, owners = [], [], []
    for node, length, targets, who in ends:
        place += [node.index(depth) for depth in range(length - len(targets), length)]
        target += targets
        owners += [who] * len(targets)
    order = np.argsort(np.asarray(place), kind="stable")
    return stream, Reads(*(np.asarray(values, np.int64)[order] for values in (place, target, owners)))


class Gathering:
    """Adds up the log-probabilities of each continuation until its request is complete."""

    def __init__(self, encoded: Sequence[Encoded], reads: Reads) -> None:
        self._encoded = encoded
        counts = [len(request.continuations) for request in encoded]
        self._first = np.cumsum([0, *counts])
        self._request = np.repeat(np.arange(len(encoded)), counts)
        self._total = np.zeros(len(self._request))
        self._greedy = np.ones(len(self._request), bool)
        self._left = np.bincount(self._request[reads.owner], minlength=len(encoded))

    def add(
        self, reads: Reads, logprobs: npt.NDArray[np.float64], best: npt.NDArray[np.bool_]
    ) -> list[tuple[int, Scored]]:
        """The requests, by index, that these reads complete."""
        np.add.at(self._total, reads.owner, logprobs)
        np.logical_and.at(self._greedy, reads.owner, best)
        touched, counts = np.unique(self._request[reads.owner], return_counts=True)
        self._left[touched] -= counts
        return [(int(index), self._answer(int(index))) for index in touched[self._left[touched] == 0]]

    def _answer(self, index: int) -> Scored:
        part = slice(self._first[index], self._first[index + 1])
        request = self._encoded[index]
        return Scored(
            tuple(self._total[part].tolist()),
            tuple(self._greedy[part].tolist()),
            len(request.context) + sum(len(c) for c in request.continuations),
        )
