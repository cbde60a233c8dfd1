"""Linear layers on the CPU: products by oneDNN, and those of bfloat16 in float32 where the processor has none.

Torch leaves float32 to MKL, which takes up to twice as long when there are few rows or many columns, as in the
vocabulary projection; oneDNN comes with torch as well. For bfloat16 without instructions torch's own kernel widens
number by number and takes three to five times as long. It sums in float32 too, so that the results differ in the last
bit of one number in ten thousand.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

ROWS: Final = 32
"""Fewer rows of bfloat16 than this are left to torch: widening the weights would take longer than the product."""

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


def exchange(model: Any) -> None:
    """Let the linear layers of a model on the CPU multiply in the fastest way. Its parameters stay as they are, but
    no gradients can be taken any more."""
    import torch

    ways = {torch.float32: multiplied}
    if widens_bfloat16("cpu"):
        ways[torch.bfloat16] = widened
    model.requires_grad_(False)
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight.dtype in ways:
            layer.__dict__["forward"] = partial(ways[layer.weight.dtype], layer)


def is_plain(layer: Any) -> bool:
    """Whether a layer is a linear one without hooks, so that :func:`some` of its outputs can be computed alone."""
    import torch

    own = vars(layer).get("forward")
    hooked = type(layer) is not torch.nn.Linear or layer._forward_hooks or layer._forward_pre_hooks
    return not hooked and (own is None or getattr(own, "func", None) in (multiplied, widened))


def some(layer: Any, rows: torch.Tensor, columns: slice) -> torch.Tensor:
    """Some of the outputs that a layer makes of rows (…, size): columns of its result. They are computed alone if the
    layer :func:`is_plain`, else cut from all of them."""
    import torch

    own = vars(layer).get("forward")
    if columns == slice(None) or not is_plain(layer):
        out: torch.Tensor = layer(rows)[..., columns]
    elif own is None:
        out = torch.nn.functional.linear(rows, *_parameters(layer, columns))
    else:
        out = own(rows, columns)
    return out


def _parameters(layer: torch.nn.Linear, columns: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
    return layer.weight[columns], None if layer.bias is None else layer.bias[columns]


def multiplied(layer: torch.nn.Linear, rows: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
    """What a layer of float32 makes of rows (…, size); some columns of it."""
    return product(rows, *_parameters(layer, columns))


def widened(layer: torch.nn.Linear, rows: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
    """What a layer of bfloat16 makes of rows (…, size), multiplied in float32; some columns of it."""
    import torch

    weight, bias = _parameters(layer, columns)
    if rows.numel() < ROWS * rows.shape[-1] or rows.dtype is not weight.dtype:
        return torch.nn.functional.linear(rows, weight, bias)
    wide = rows.float()
    step = max(1, BLOCK // weight.shape[1])
    biases = [None] * -(-len(weight) // step) if bias is None else torch.split(bias.float(), step)
    parts = [
        product(wide, part.float(), own).to(rows.dtype)
        for part, own in zip(torch.split(weight, step), biases, strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Rows (…, size) times float32 weights (outputs, size), by oneDNN where torch has it."""
    import torch

    if rows.dtype is not torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return torch.nn.functional.linear(rows, weight, bias)
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out
