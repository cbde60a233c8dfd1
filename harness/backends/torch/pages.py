"""Pages: the own keys and values of texts in the making, in pieces of equal size, so that nothing is padded to the
longest text and every page that is in use can be attended to in one call."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PAGE = 64  # tokens a page: fewer make more products, more leave more of each text's last page empty
GROWTH = 1.5  # storage grows by this factor, so that it is seldom copied
LOOSE = 1.25  # pages are moved together when the highest is this much above their number


def pages_of(tokens: int) -> int:
    """Pages that hold this many tokens."""
    return -(-tokens // PAGE)


class Table:
    """Which pages are in use. The lowest free one is taken first, so that those in use lie close together."""

    def __init__(self) -> None:
        self.used = 0
        """Pages in use."""
        self.top = 0
        """All pages in use are below this one."""
        self._free: list[int] = []

    def take(self) -> int:
        """A page that is not in use."""
        self.used += 1
        if self._free:
            return heapq.heappop(self._free)
        self.top += 1
        return self.top - 1

    def give(self, pages: Sequence[int]) -> None:
        """Pages that are not needed any more."""
        self.used -= len(pages)
        for page in pages:
            heapq.heappush(self._free, page)

    @property
    def loose(self) -> bool:
        """Whether it is time to move pages together."""
        return self.top > LOOSE * self.used + 4

    def close_up(self, owners: Sequence[list[int]]) -> list[tuple[int, int]]:
        """Move pages down into the gaps: changes the owners' lists and returns the moves (from, to)."""
        moves = []
        for pages in owners:
            for i, page in enumerate(pages):
                if page >= self.used:
                    pages[i] = heapq.heappop(self._free)
                    moves.append((page, pages[i]))
        self.top = self.used
        self._free.clear()
        return moves


@dataclass
class Storage:
    """The tensors of all pages."""

    capacity: int = 0
    """Pages there are."""
    keys: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer: (pages, key heads, PAGE, size), on the layer's device."""
    values: dict[int, torch.Tensor] = field(default_factory=dict)
    """By layer, as the keys."""

    def fit(self, pages: int, most: int) -> None:
        """Make room for this many pages, of which at most ``most`` are expected to be in use; what is there stays."""
        if pages > self.capacity:
            self.resize(max(pages, min(int(pages * GROWTH) + 1, most)))

    def resize(self, pages: int) -> None:
        """Exactly this many pages; the first ones stay."""
        for kept in (self.keys, self.values):
            for layer, old in kept.items():
                n = min(len(old), pages)
                kept[layer] = _grown(old, pages)
                kept[layer][:n] = old[:n]
        self.capacity = pages

    def write(self, layer: int, pages: Sequence[int], keys: torch.Tensor, values: torch.Tensor) -> None:
        """Fill pages with the keys and values (key heads, tokens, size) of a text's first tokens."""
        for kept, new in ((self.keys, keys), (self.values, values)):
            if layer not in kept:
                kept[layer] = _made(new, self.capacity)
            _fill(kept[layer], pages, new)

    def put(
        self, layer: int, page: torch.Tensor, place: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Write one token of each of several texts (texts, key heads, size) to its page, at its place in the page."""
        for kept, new in ((self.keys, keys), (self.values, values)):
            if layer not in kept:
                kept[layer] = _made(new.transpose(0, 1), self.capacity)
            kept[layer][page, :, place] = new

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        """Copy pages; none is both left and entered."""
        import torch

        if not moves:
            return
        source, target = torch.tensor(moves).T
        for kept in (self.keys, self.values):
            for tensor in kept.values():
                tensor[target.to(tensor.device)] = tensor[source.to(tensor.device)]


def _made(like: torch.Tensor, pages: int) -> torch.Tensor:
    """Pages for keys like these (key heads, tokens, size); zeros, since what is masked must still be numbers."""
    return like.new_zeros((pages, like.shape[0], PAGE, like.shape[2]))


def _grown(old: torch.Tensor, pages: int) -> torch.Tensor:
    return old.new_zeros((pages, *old.shape[1:]))


def _fill(target: torch.Tensor, pages: Sequence[int], new: torch.Tensor) -> None:
    full = new.shape[1] // PAGE
    if full:
        pieces = new[:, : full * PAGE].reshape(new.shape[0], full, PAGE, new.shape[2])
        for i in range(full):
            target[pages[i]] = pieces[:, i]
    if rest := new.shape[1] - full * PAGE:
        target[pages[full], :, :rest] = new[:, full * PAGE :]
