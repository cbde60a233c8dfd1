"""Packed scoring: every distinct prompt token is computed once, logits only where they are read."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.backends.base import Scored
from harness.backends.torch import attention, head, reads
from harness.backends.torch.memory import out_of_memory, within
from harness.backends.torch.packing import Pack, make_pack
from harness.errors import BackendError
from harness.plan.tokens import Encoded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

log = logging.getLogger(__name__)


@dataclass
class Spent:
    """What answering took."""

    prompt_tokens: int = 0
    """Prompt tokens when every continuation is scored after its own copy of the context."""
    computed_tokens: int = 0
    """Prompt tokens that went through the model."""
    passes: int = 0
    """Forward passes over prompts."""
    new_tokens: int = 0
    """Tokens generated."""
    turns: int = 0
    """Forward passes that gave texts their next tokens."""
    seconds: float = 0.0
    """Wall time, loading of the model left out."""
    model_seconds: float = 0.0
    """The part of it in the model itself, vocabulary projection included."""

    def report(self) -> dict[str, float]:
        """For the receipt; empty if nothing was computed."""
        if not self.passes:
            return {}
        tokens = self.computed_tokens + self.new_tokens
        return {
            **asdict(self),
            "saved_tokens": self.prompt_tokens - self.computed_tokens,
            "tokens_per_second": tokens / self.seconds if self.seconds else 0.0,
            "model_share": self.model_seconds / self.seconds if self.seconds else 0.0,
        }


def score(
    model: Any, encoded: Sequence[Encoded], *, limit: int, batch_tokens: int, kv_tokens: int, way: str, spent: Spent
) -> Iterator[list[tuple[int, Scored]]]:
    """Answers by request index, after each pass those that it completes.

    Keys and values are kept of one path and of one pass: together no more than ``kv_tokens``.

    Raises:
        UserError: the longest prompt needs more than ``kv_tokens``.
        BackendError: not even one token fits into the memory.
    """
    import torch

    stream, todo = reads.lay_out(encoded, limit)
    gathering = reads.Gathering(encoded, todo)
    longest = int(stream.depth.max()) + 1
    within(model, kv_tokens, longest + 1)
    batch_tokens = min(batch_tokens, kv_tokens - longest)
    path = attention.Path(longest)
    start = 0
    while start < len(stream):
        pack = make_pack(stream, start, min(start + batch_tokens, len(stream)))
        part = todo.between(pack.start, pack.stop)
        began = time.perf_counter()
        try:
            with torch.inference_mode():
                logprobs, best = _pass(model, pack, path, way, part)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(pack) == 1:
                raise BackendError("a forward pass of a single token does not fit into the memory") from error
            batch_tokens = len(pack) // 2
            log.warning("out of memory: going on with %d tokens a pass", batch_tokens)
            continue
        spent.model_seconds += time.perf_counter() - began
        spent.computed_tokens += len(pack)
        spent.passes += 1
        start = pack.stop
        if done := gathering.add(part, logprobs, best):
            yield done


def _pass(
    model: Any, pack: Pack, path: attention.Path, way: str, part: reads.Reads
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What is read off a pack; nothing of the pass outlives it but the path."""
    hidden, step = forward(model, pack, path, way)
    read = head.read(model, hidden, part.place - pack.start, part.target)
    step.commit()
    return read


def forward(
    model: Any, pack: Pack, path: attention.Path, way: str, whole: bool = False
) -> tuple[torch.Tensor, attention.Step]:
    """Hidden states (tokens, size) of a pack after the last norm, and the step that must be committed.

    With ``whole`` the step can give the keys and values of all tokens of the pack.
    """
    import torch

    device = model.get_input_embeddings().weight.device
    step = attention.Step(pack, path, way, whole)
    with attention.exchanged(model):
        out = model.base_model(
            input_ids=torch.from_numpy(pack.tokens)[None].to(device),
            position_ids=torch.from_numpy(pack.positions)[None].to(device),
            use_cache=False,
            step=step,
        )
    return out.last_hidden_state[0], step
