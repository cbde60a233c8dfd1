"""Memory: planned from the model's shape and what is free, not tried."""

from __future__ import annotations


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory ran out; on CPU it has no type of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
