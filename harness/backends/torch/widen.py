"""Products of bfloat16 on processors without instructions for them: in float32, and rounded once at the end.

There torch's own kernel widens number by number and takes three to five times as long. It sums in float32 as well, so
that the results differ in the last bit of one number in ten thousand.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

ROWS: Final = 32
"""Fewer rows than this are left to torch: widening the weights would take longer than the product."""

BLOCK: Final = 16 * 1024 * 1024
"""Weights that are widened at a time: 64 MB, whatever the layer's size."""


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, or at least wide ones that the library uses instead."""
    import torch

    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "avx512_bw", "bf16", "sve_bf16"))


def widens_bfloat16(device: str) -> bool:
    """Whether linear layers of bfloat16 multiply in float32 on this device."""
    return device == "cpu" and not multiplies_bfloat16()


def widen(model: Any) -> None:
    """Let the model's linear layers of bfloat16 multiply in float32. Weights and parameters stay as they are."""
    import torch

    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight.dtype is torch.bfloat16:
            layer.__dict__["forward"] = partial(linear, layer)


def linear(layer: torch.nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    """What a linear layer makes of rows (…, size)."""
    import torch

    weight, bias = layer.weight, layer.bias
    if rows.numel() < ROWS * rows.shape[-1] or rows.dtype is not weight.dtype:
        return torch.nn.functional.linear(rows, weight, bias)
    wide = rows.float()
    step = max(1, BLOCK // weight.shape[1])
    biases = [None] * -(-len(weight) // step) if bias is None else torch.split(bias.float(), step)
    parts = [
        torch.nn.functional.linear(wide, part.float(), own).to(rows.dtype)
        for part, own in zip(torch.split(weight, step), biases, strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
