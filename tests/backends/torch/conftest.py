"""Tiny random models, made on the spot."""

from __future__ import annotations

from typing import Any

import pytest

VOCABULARY = 211
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def make_model(kind: str, **changes: Any) -> Any:
    """A random model in float32; equal arguments make equal weights."""
    import torch
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**SHAPE, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
    return model.eval().float()


@pytest.fixture(scope="session", params=["Qwen2", "Llama"])
def tiny(request: pytest.FixtureRequest) -> Any:
    return make_model(request.param)
