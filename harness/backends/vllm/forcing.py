"""Makes the engine say given tokens: their log-probabilities then cost what generating them costs.

A prompt whose log-probabilities are wanted is computed whole, past the prefix cache. A text that is generated reads the
cache, so an answer that the engine is made to say costs its own tokens alone, and its context once.

vLLM's newer model runner does this itself (``trace_decode_token_ids``); the older one, which the CPU build still uses,
is given the processor below. Its raw log-probabilities are taken before any processor touches the logits. vLLM loads
this module by name in its workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor import BatchUpdate

KEY = "harness_forced"  # in SamplingParams.extra_args
NAME = f"{__name__}:Forced"  # how vLLM is told of the processor
SURE = 1e30  # finite: an infinity would become a NaN in a later softmax


class Forced(LogitsProcessor):  # type: ignore[misc]  # vLLM is not there where types are checked
    """At its n-th token, a request that carries ``harness_forced`` takes the n-th of those ids."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        self._wanted: dict[int, tuple[list[int], list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """It is there to move the argmax."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the requests as they enter, move and leave."""
        process_dict_updates(self._wanted, batch_update, _wanted)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Raise the logits (requests, vocabulary) of the wanted tokens over all others."""
        rows, tokens = [], []
        for row, (ids, said) in self._wanted.items():
            if len(said) < len(ids):
                rows.append(row)
                tokens.append(ids[len(said)])
        if rows:
            place = torch.tensor([rows, tokens], device=self._device)
            logits[place[0], place[1]] = SURE
        return logits


def _wanted(params: SamplingParams, _: Any, said: list[int]) -> tuple[list[int], list[int]] | None:
    """The ids that a request must say, and the list of what it has said, which the engine keeps up to date."""
    ids = (params.extra_args or {}).get(KEY)
    return (ids, said) if ids else None
