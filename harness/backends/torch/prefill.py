"""Prompts through the model, each distinct token once, pack by pack along the stream."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.torch import attention, scoring
from harness.backends.torch.memory import out_of_memory
from harness.backends.torch.packing import Pack, make_pack
from harness.backends.torch.sharing import Prompt, Segment, Shared
from harness.errors import BackendError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Computed:
    """What a pack brought."""

    segments: dict[int, attention.Kept]
    """Keys and values of the segments that end in it, by number."""
    prompts: list[tuple[Prompt, attention.Kept]]
    """The prompts that end in it, with keys and values of their own parts."""
    hidden: torch.Tensor
    """The last hidden state of each of these prompts (prompts, size)."""


class Prefill:
    """The way of all prompts through the model."""

    def __init__(self, model: Any, shared: Shared, batch_tokens: int, way: str, spent: scoring.Spent) -> None:
        self._model = model
        self._shared = shared
        self._batch_tokens = batch_tokens
        self._way = way
        self._spent = spent
        self._start = 0
        self._path = attention.Path(self.longest)
        self._segment_places = np.array([s.place for s in shared.segments], np.int64)
        self._prompt_places = np.array([p.place for p in shared.prompts], np.int64)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt: what is kept on the way."""
        return int(self._shared.stream.depth.max()) + 1

    @property
    def done(self) -> bool:
        """Whether all prompts are through."""
        return self._start == len(self._shared.stream)

    @property
    def coming(self) -> int:
        """Tokens whose keys and values the next pack brings to be kept."""
        segments, prompts = self._between(self._start, self._stop)
        return sum(map(len, segments.values())) + sum(map(len, prompts))

    def narrow(self) -> bool:
        """Take half as many tokens a pack from now on; False if it is one already."""
        if self._batch_tokens == 1:
            return False
        self._batch_tokens //= 2
        return True

    @property
    def _stop(self) -> int:
        return min(self._start + self._batch_tokens, len(self._shared.stream))

    def _between(self, start: int, stop: int) -> tuple[dict[int, Segment], list[Prompt]]:
        """Segments, by number, and prompts that end in a stretch of the stream."""
        first, last = np.searchsorted(self._segment_places, [start, stop])
        begin, end = np.searchsorted(self._prompt_places, [start, stop])
        return {n: self._shared.segments[n] for n in range(first, last)}, list(self._shared.prompts[begin:end])

    def advance(self) -> Computed:
        """Compute the next pack; less of it, from then on, if memory runs out.

        Raises:
            BackendError: not even one token fits into the memory.
        """
        while True:
            pack = make_pack(self._shared.stream, self._start, self._stop)
            began = time.perf_counter()
            try:
                computed = self._pass(pack)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if len(pack) == 1:
                    raise BackendError("a forward pass of a single token does not fit into the memory") from error
                self._batch_tokens = len(pack) // 2
                log.warning("out of memory: going on with %d tokens a pass", self._batch_tokens)
                continue
            self._spent.model_seconds += time.perf_counter() - began
            self._spent.computed_tokens += len(pack)
            self._spent.passes += 1
            self._start = pack.stop
            return computed

    def _pass(self, pack: Pack) -> Computed:
        hidden, step = scoring.forward(self._model, pack, self._path, self._way, whole=True)
        computed = self._keep(hidden, step, pack.start, pack.stop)
        step.commit()
        return computed

    def _keep(self, hidden: torch.Tensor, step: attention.Step, start: int, stop: int) -> Computed:
        import torch

        segments, prompts = self._between(start, stop)
        kept = {number: step.lineage(s.place - start, s.start) for number, s in segments.items()}
        own = [(p, step.lineage(p.place - start, p.start)) for p in prompts]
        rows = torch.tensor([p.place - start for p in prompts], dtype=torch.long, device=hidden.device)
        return Computed(kept, own, hidden.index_select(0, rows))
