"""Memory: planned from the model's shape and what is free, not tried."""

from __future__ import annotations

from typing import Any

GIGA = 1_000_000_000
SHARE = 0.5  # of the free memory, where the user names no number


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
