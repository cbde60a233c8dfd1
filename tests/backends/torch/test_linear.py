"""Linear layers on the CPU: by oneDNN, and bfloat16 in float32 where the processor has no instructions for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.backends.torch import TorchBackend, TorchOptions, loading
from harness.backends.torch import linear as linear_module
from harness.backends.torch.checkpoint import locate
from harness.backends.torch.linear import ROWS, exchange, multiplied, widened


@pytest.mark.parametrize("block", [10 * 48, linear_module.BLOCK])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, 4 * ROWS])
def test_a_product_is_rounded_once(rows: int, bias: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(rows)
    layer = torch.nn.Linear(48, 45, bias=bias, dtype=torch.bfloat16)
    x = torch.randn(1, rows, 48, dtype=torch.bfloat16)
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    used: list[torch.dtype] = []
    product = linear_module.product

    def seen(*arguments: Any) -> torch.Tensor:
        used.append(arguments[0].dtype)
        return product(*arguments)

    monkeypatch.setattr(linear_module, "product", seen)
    monkeypatch.setattr(linear_module, "BLOCK", block)
    with torch.no_grad():
        found = widened(layer, x)
    assert found.dtype is torch.bfloat16
    # half of the last of eight bits, and what summing in float32 adds
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-5)
    if rows < ROWS:
        assert used == []
    else:
        assert used == [torch.float32] * (5 if block < layer.weight.numel() else 1)


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (1, 1, 48), (1, 70, 48), (2, 3, 48)])
def test_a_product_of_float32(
    shape: tuple[int, ...], bias: bool, available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: available)
    torch.manual_seed(len(shape))
    layer = torch.nn.Linear(48, 45, bias=bias)
    x = torch.randn(shape)
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    with torch.no_grad():
        found = multiplied(layer, x)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("able", [True, False])
def test_layers_are_changed_and_parameters_are_not(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_module, "multiplies_bfloat16", lambda: able)
    kinds = (torch.float32, torch.bfloat16, torch.float16)
    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4, dtype=kind) for kind in kinds), torch.nn.LayerNorm(4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exchange(model)
    assert ["forward" in vars(layer) for layer in model] == [True, not able, False, False]
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("able", [True, False])
def test_a_loaded_model_multiplies_as_the_processor_does_best(
    tiny_checkpoint: Path, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_module, "multiplies_bfloat16", lambda: able)
    model = loading.load_model(locate(str(tiny_checkpoint), None), "bfloat16", "cpu")
    assert ("forward" in vars(model.lm_head)) == (not able)
    tokens = torch.arange(2 * ROWS)[None] % model.config.vocab_size
    assert model(tokens).logits.dtype is torch.bfloat16


@pytest.mark.parametrize("able", [True, False])
def test_the_receipt_says_in_what_the_model_multiplies(
    tiny_checkpoint: Path, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_module, "multiplies_bfloat16", lambda: able)
    said = {
        dtype: TorchBackend(TorchOptions(model=str(tiny_checkpoint), dtype=dtype, device="cpu")).describe()
        for dtype in ("bfloat16", "float32")
    }
    assert said["bfloat16"].get("bfloat16_multiplied_in") == (None if able else "float32")
    assert "bfloat16_multiplied_in" not in said["float32"]
