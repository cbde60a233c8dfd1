"""Attention of a turn: the next token of each text in the making, all in one forward pass.

A text's keys are its segments', shared with other texts, then its own, in pages. Each segment is read once for all
texts below it, their queries side by side in one product; all pages of all texts go through one call. The parts are
joined by their log-sum-exps, as in ``attention.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.torch.answers import Answer
from harness.backends.torch.attention import Kept, additive, flash
from harness.backends.torch.pages import PAGE, Storage, pages_of
from harness.backends.torch.sharing import Prompt, Segment

if TYPE_CHECKING:
    import torch


@dataclass(eq=False)
class Text:
    """A text in the making."""

    answer: Answer
    """What is generated."""
    prompt: Prompt
    """What it continues."""
    pages: list[int] = field(default_factory=list)
    """Where its own keys and values are, in order."""

    @property
    def position(self) -> int:
        """Position of its newest token, which goes into the model next."""
        return len(self.answer.context) + len(self.answer.new) - 1

    @property
    def own(self) -> int:
        """How many tokens of its own it has, the newest one included."""
        return self.position + 1 - self.prompt.start

    @property
    def most(self) -> int:
        """The most pages that it can come to need."""
        return pages_of(len(self.prompt) + self.answer.request.max_tokens)


@dataclass(frozen=True)
class Part:
    """Neighbouring texts below one segment."""

    start: int
    """The first of them."""
    stop: int
    """After the last of them."""
    segment: Segment
    """What they share."""
    kept: Kept
    """Its keys and values."""


def parts(texts: Sequence[Text], segments: Sequence[Segment], kept: dict[int, Kept]) -> list[Part]:
    """All segments of texts, which are in the order of their prompts, so that those of a segment are neighbours."""
    spans: dict[int, tuple[int, int]] = {}
    for i, text in enumerate(texts):
        for number in text.prompt.segments:
            spans[number] = (spans.get(number, (i, i))[0], i + 1)
    return [Part(start, stop, segments[number], kept[number]) for number, (start, stop) in spans.items()]


class Turn:
    """The newest tokens of some texts on their way through the model."""

    def __init__(self, texts: Sequence[Text], shared: Sequence[Part], storage: Storage, top: int) -> None:
        self._parts = shared
        self._storage = storage
        self._positions = np.array([text.position for text in texts])
        counts = np.array([len(text.pages) for text in texts])
        own = np.array([text.own for text in texts])
        pages = np.concatenate([text.pages for text in texts])
        owner = np.repeat(np.arange(len(texts)), counts)
        number = np.arange(len(pages)) - np.repeat(np.cumsum(counts) - counts, counts)
        # pages of nobody here, gaps between them too, are computed and weigh nothing
        self._top = top
        self._owner = np.zeros(top, np.int64)
        self._owner[pages] = owner
        self._fill = np.zeros(top, np.int64)
        self._fill[pages] = np.minimum(own[owner] - number * PAGE, PAGE)
        self._first = np.zeros(top, np.int64)  # position of each page's first token
        self._first[pages] = np.array([text.prompt.start for text in texts])[owner] + number * PAGE
        self._table = np.full((len(texts), int(counts.max())), top)
        self._table[owner, number] = pages
        self._page = np.array([text.pages[-1] for text in texts])
        self._place = (own - 1) % PAGE
        self._made: dict[tuple[Any, ...], Any] = {}

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """What each text's newest token gathers in this layer: (1, heads, texts, size)."""
        if window is not None and self._positions.max() < window:
            window = None
        device, n, groups = query.device, query.shape[2], key.shape[1]
        page, place = self._tensor("page", self._page, device), self._tensor("place", self._place, device)
        self._storage.put(layer, page, place, key[0].transpose(0, 1), value[0].transpose(0, 1))
        # (texts, key heads, query heads of each, size)
        rows = query[0].transpose(0, 1).reshape(n, groups, query.shape[1] // groups, query.shape[3])
        out, lse = self._own(layer, rows, scaling, window)
        for part in self._parts:
            self._more(part, layer, rows, out, lse, scaling, window)
        return out.to(query.dtype).reshape(1, n, query.shape[1], query.shape[3]).transpose(1, 2)

    def _own(
        self, layer: int, rows: torch.Tensor, scaling: float | None, window: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention over the texts' own pages in float32, and the log-sum-exps."""
        import torch

        device = rows.device
        owner = self._tensor("owner", self._owner, device)
        table = self._tensor("table", self._table, device)
        mask = self._once(("pages", window, device), lambda: self._page_mask(rows, window))
        keys, values = self._storage.keys[layer][: self._top], self._storage.values[layer][: self._top]
        out, lse = partial(rows[owner], keys, values, scaling, mask)
        none = lse.new_full((1, *lse.shape[1:]), -torch.inf)
        total = torch.cat([lse, none])[table].logsumexp(dim=1)
        weight = (lse - total[owner]).exp_()
        joined = torch.zeros(rows.shape, dtype=torch.float32, device=device)
        return joined.index_add_(0, owner, out * weight[..., None]), total

    def _more(
        self,
        part: Part,
        layer: int,
        rows: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> None:
        """Add what the texts of a part gather from its segment."""
        span = slice(part.start, part.stop)
        n, groups, repeat, size = rows[span].shape
        mask = self._once(("part", id(part), window, rows.device), lambda: self._part_mask(part, rows, window))
        folded = rows[span].permute(1, 2, 0, 3).reshape(1, groups, repeat * n, size)
        more, sums = partial(folded, part.kept.keys[layer][None], part.kept.values[layer][None], scaling, mask)
        more = more.reshape(groups, repeat, n, size).permute(2, 0, 1, 3)
        sums = sums.reshape(groups, repeat, n).permute(2, 0, 1)
        share = (sums - lse[span]).sigmoid()
        out[span].lerp_(more.float(), share[..., None])
        lse[span] = sums.logaddexp(lse[span])

    def _page_mask(self, rows: torch.Tensor, window: int | None) -> torch.Tensor:
        places = np.arange(PAGE)
        seen = places < self._fill[:, None]
        if window is not None:
            seen &= self._positions[self._owner][:, None] - (self._first[:, None] + places) < window
        return additive(seen, rows)[:, None, None]

    def _part_mask(self, part: Part, rows: torch.Tensor, window: int | None) -> torch.Tensor | None:
        """None where all texts of the part see the whole segment."""
        if window is None:
            return None
        positions = self._positions[part.start : part.stop, None]
        seen = positions - np.arange(part.segment.start, part.segment.stop) < window
        return None if seen.all() else additive(np.tile(seen, (rows.shape[2], 1)), rows)[None, None]

    # what all layers share

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _tensor(self, name: str, values: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
        import torch

        made: torch.Tensor = self._once((name, device), lambda: torch.from_numpy(values).to(device))
        return made


def partial(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over some of the keys, and the log-sum-exp of the scores in float32."""
    if query.device.type == "cpu":
        return flash(query, key, value, scaling, mask)
    scores = (query @ key.transpose(-1, -2)).float() * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if mask is not None:
        scores = scores + mask
    lse = scores.logsumexp(dim=-1)
    return (scores - lse[..., None]).exp().to(value.dtype) @ value, lse
