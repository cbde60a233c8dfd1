"""Products of bfloat16 in float32, where the processor has no instructions for bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.backends.torch import TorchBackend, TorchOptions, loading
from harness.backends.torch import widen as widen_module
from harness.backends.torch.checkpoint import locate
from harness.backends.torch.widen import ROWS, linear, widen


@pytest.mark.parametrize("block", [10 * 48, widen_module.BLOCK])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, 4 * ROWS])
def test_a_product_is_rounded_once(rows: int, bias: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(rows)
    layer = torch.nn.Linear(48, 45, bias=bias, dtype=torch.bfloat16)
    x = torch.randn(1, rows, 48, dtype=torch.bfloat16)
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    used: list[torch.dtype] = []
    product = torch.nn.functional.linear

    def seen(*arguments: Any) -> torch.Tensor:
        used.append(arguments[0].dtype)
        return product(*arguments)

    monkeypatch.setattr(torch.nn.functional, "linear", seen)
    monkeypatch.setattr(widen_module, "BLOCK", block)
    found = linear(layer, x)
    assert found.dtype is torch.bfloat16
    # half of the last of eight bits, and what summing in float32 adds
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-5)
    if rows < ROWS:
        assert used == [torch.bfloat16]
    else:
        assert used == [torch.float32] * (5 if block < layer.weight.numel() else 1)


def test_only_layers_of_bfloat16_are_changed() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, dtype=torch.bfloat16))
    before = model.state_dict()
    widen(model)
    assert ["forward" in vars(layer) for layer in model] == [False, True]
    assert model.state_dict().keys() == before.keys()


@pytest.mark.parametrize("able", [True, False])
def test_a_loaded_model_multiplies_as_the_processor_does_best(
    tiny_checkpoint: Path, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widen_module, "multiplies_bfloat16", lambda: able)
    model = loading.load_model(locate(str(tiny_checkpoint), None), "bfloat16", "cpu")
    assert ("forward" in vars(model.lm_head)) == (not able)
    tokens = torch.arange(2 * ROWS)[None] % model.config.vocab_size
    assert model(tokens).logits.dtype is torch.bfloat16


@pytest.mark.parametrize("able", [True, False])
def test_the_receipt_says_in_what_the_model_multiplies(
    tiny_checkpoint: Path, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widen_module, "multiplies_bfloat16", lambda: able)
    said = {
        dtype: TorchBackend(TorchOptions(model=str(tiny_checkpoint), dtype=dtype, device="cpu")).describe()
        for dtype in ("bfloat16", "float32")
    }
    assert said["bfloat16"].get("bfloat16_multiplied_in") == (None if able else "float32")
    assert "bfloat16_multiplied_in" not in said["float32"]
