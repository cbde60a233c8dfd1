"""Models in vLLM engines: checkpoints on many GPUs, or on a CPU."""

from harness.backends.vllm.backend import VllmBackend
from harness.backends.vllm.options import VllmOptions

__all__ = ["VllmBackend", "VllmOptions"]
