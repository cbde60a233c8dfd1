"""A GGUF file is unpacked once: the next process opens the unpacked weights, which are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.backends.torch import loading
from harness.backends.torch.checkpoint import locate

WIDTH, HEADS, VOCABULARY = 32, 2, 64


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """A Llama of one layer, random, its matrices quantised as the embedded model's are."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    path = tmp_path / "model" / "one-layer.gguf"
    path.parent.mkdir()
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    random = np.random.default_rng(0)
    kind = GGMLQuantizationType.Q4_1
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    for name in ("token_embd", "output", *(f"blk.0.{part}" for part in square)):
        rows = VOCABULARY if name in ("token_embd", "output") else WIDTH
        matrix = random.standard_normal((rows, WIDTH)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", quants.quantize(matrix, kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_second_load_opens_what_the_first_unpacked(
    gguf_file: Path, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = locate(str(gguf_file), None)
    first = loading.load_model(checkpoint, dtype, "cpu")
    # nothing is unpacked again
    monkeypatch.setattr("gguf.dequantize", None)
    monkeypatch.setattr("gguf.quants.dequantize", None)
    second = loading.load_model(checkpoint, dtype, "cpu")
    ours, theirs = second.state_dict(), first.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {weights.dtype for weights in ours.values()} == {getattr(torch, dtype)}
    tokens = torch.arange(10)[None]
    assert torch.equal(first(tokens).logits, second(tokens).logits)


def test_a_large_file_is_not_kept(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "SMALL", 1000)
    loading.load_model(locate(str(gguf_file), None), "float32", "cpu")
    assert not (tmp_path / "cache" / "harness" / "weights").exists()
