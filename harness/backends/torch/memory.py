"""Memory: planned from the model's shape and what is free, not tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError

GIGA = 1_000_000_000
SHARE = 0.5  # of the free memory, where the user names no number
PASS_SHARE = 0.125  # of the free memory of one device
PASS_MOST = 0.75 * GIGA  # beside it, logits are held: together less than one GB
# more tokens a pass are slower on a CPU, whose caches they leave, and no faster on a GPU that is busy already
FASTEST = {"cpu": 512, "cuda": 8192}
FREED = 31 * 2**20  # bytes: what the C library adds still fits into glibc's 32 MB
# what torch says on its different ways; on a CPU such an error has no type of its own
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Shape:
    """What of a model's shape memory depends on; attributes that a model lacks are put at what most models have."""

    hidden: int
    """Numbers of a token between layers."""
    heads: int
    """Query heads."""
    groups: int
    """Key heads."""
    size: int
    """Numbers of a head."""
    inner: int
    """Numbers of a token inside a perceptron; of all experts that one token goes to."""
    layers: int
    """Layers."""

    @classmethod
    def of(cls, model: Any) -> Shape:
        """Read off a transformers model's config."""
        config = model.config.get_text_config()

        def get(name: str, default: int) -> int:
            value = getattr(config, name, None)
            return int(max(value) if isinstance(value, (list, tuple)) else value) if value else default

        hidden = get("hidden_size", 0)
        heads = get("num_attention_heads", 1)
        inner = get("moe_intermediate_size", get("intermediate_size", 4 * hidden)) * get("num_experts_per_tok", 1)
        return cls(
            hidden,
            heads,
            get("num_key_value_heads", heads),
            get("head_dim", hidden // heads),
            inner,
            get("num_hidden_layers", 1),
        )


def kv_bytes(model: Any) -> int:
    """Bytes of the keys and values of one token."""
    shape = Shape.of(model)
    return int(2 * shape.layers * shape.groups * shape.size * model.dtype.itemsize)


def kv_tokens(model: Any, gigabytes: float | None) -> int:
    """Tokens whose keys and values may be kept at once; without a number, half of what is free holds them."""
    if gigabytes is not None:
        return int(gigabytes * GIGA // kv_bytes(model))
    free = _free(model)
    return int(SHARE * len(free) * min(free) // kv_bytes(model))


def pass_tokens(model: Any) -> int:
    """Prompt tokens of one forward pass: what some of the free memory holds, and no more than make it faster.

    A token takes what goes in and out of attention and of the perceptron of one layer, counted in float32, in which
    parts of attention are joined; and its keys and values twice, since those that are kept are copied.
    """
    shape = Shape.of(model)
    one = 4 * (4 * shape.hidden + 4 * shape.heads * shape.size + 3 * shape.inner) + 2 * kv_bytes(model)
    fit = int(min(PASS_SHARE * min(_free(model)), PASS_MOST) // one)
    device = next(iter(model.parameters())).device.type
    return max(1, min(fit, FASTEST.get(device, FASTEST["cuda"])))


def within(model: Any, limit: int, needed: int) -> None:
    """Nothing, if so many tokens' keys and values may be kept.

    Raises:
        UserError: they may not.
    """
    if needed > limit:
        enough = math.ceil(needed * kv_bytes(model) / 1e6) / 1000  # whole MB
        raise UserError(
            f"backend.kv_memory holds the keys and values of {limit:,} tokens, "
            f"but up to {needed:,} are needed at once.",
            f"Set backend.kv_memory to {enough:g} (GB) or more, or lower the shots or generation.max_tokens.",
        )


def _free(model: Any) -> list[int]:
    """Free bytes of each device that the model is on."""
    import psutil
    import torch

    gpus = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    if not gpus:
        return [int(psutil.virtual_memory().available)]
    # what torch holds and nobody uses is free, too
    return [
        torch.cuda.mem_get_info(gpu)[0] + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
        for gpu in gpus
    ]


def keep_freed() -> None:
    """Let the C library keep what is freed at the end of the heap, up to 62 MB, for what is asked for next.

    Memory that goes back to the system comes again page by page, which for the large tensors of a pass takes as long
    as computing them may. glibc sets its thresholds by the largest mapped block freed so far, up to 32 MB (mallopt(3),
    M_MMAP_THRESHOLD), so one is freed here; to other C libraries it does nothing.
    """
    import torch

    torch.empty(FREED, dtype=torch.uint8)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory ran out."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(mark in str(error) for mark in OUT_OF_MEMORY)
