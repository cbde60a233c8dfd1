"""Memory: planned from the model's shape and what is free, not tried."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError

GIGA = 1_000_000_000
SHARE = 0.5  # of the free memory, where the user names no number
PASS_SHARE = 0.125
# more tokens a pass are slower on a CPU, whose caches they leave, and no faster on a GPU that is busy already
FASTEST = {"cpu": 512, "cuda": 8192}


def kv_bytes(model: Any) -> int:
    """Bytes of the keys and values of one token."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * groups * size * model.dtype.itemsize)


def kv_tokens(model: Any, gigabytes: float | None) -> int:
    """Tokens whose keys and values may be kept at once; without a number, half of what is free holds them."""
    total = gigabytes * GIGA if gigabytes is not None else SHARE * _free(model)
    return int(total // kv_bytes(model))


def pass_tokens(model: Any) -> int:
    """Prompt tokens of one forward pass: what an eighth of the free memory holds, and no more than make it faster."""
    device = next(iter(model.parameters())).device.type
    fit = int(PASS_SHARE * _free(model) // _pass_bytes(model))
    return max(1, min(fit, FASTEST.get(device, FASTEST["cuda"])))


def within(limit: int, needed: int) -> None:
    """Nothing, if so many tokens' keys and values may be kept.

    Raises:
        UserError: they may not.
    """
    if needed > limit:
        raise UserError(
            f"backend.kv_memory holds the keys and values of {limit:,} tokens, "
            f"but up to {needed:,} are needed at once.",
            f"Raise backend.kv_memory to {needed / max(limit, 1):.1f} times, or lower generation.max_tokens or shots.",
        )


def _pass_bytes(model: Any) -> int:
    """Bytes that one token of a pass takes in a layer: what goes in and out of attention and of the perceptron.

    Counted in float32, in which parts of attention are joined; a token goes to all of a mixture's chosen experts.
    """
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inner = getattr(config, "moe_intermediate_size", None) or getattr(config, "intermediate_size", None)
    inner = (inner or 4 * config.hidden_size) * (getattr(config, "num_experts_per_tok", None) or 1)
    return int(4 * (4 * config.hidden_size + 4 * config.num_attention_heads * size + 3 * inner))


def _free(model: Any) -> int:
    """Free bytes where the model is; of several GPUs the fullest counts for each."""
    import psutil
    import torch

    devices = {parameter.device for parameter in model.parameters()}
    gpus = [device for device in devices if device.type == "cuda"]
    if gpus:
        return len(gpus) * min(torch.cuda.mem_get_info(device)[0] for device in gpus)
    return int(psutil.virtual_memory().available)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory ran out; on CPU it has no type of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
