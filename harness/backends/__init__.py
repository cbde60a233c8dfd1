"""What answers requests: one module a kind of engine, loaded when it is chosen."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from harness.backends.base import Backend, Capabilities, Failed, Generated, Remote, Response, Scored, from_json, to_json
from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.typed import typed

if TYPE_CHECKING:
    from harness.backends.torch import TorchBackend
    from harness.backends.vllm import VllmBackend

KINDS = ("torch", "vllm", "openai", "replay")
LOCAL = ("torch", "vllm")  # those that can have replicas

__all__ = [
    "KINDS",
    "Backend",
    "Capabilities",
    "Failed",
    "Generated",
    "Remote",
    "Response",
    "Scored",
    "from_json",
    "make_backend",
    "to_json",
]


def make_backend(kind: str, options: dict[str, Any]) -> Backend:
    """The backend of a kind with its options (``conf/backend/<kind>.yaml``); no model is loaded yet.

    Raises:
        UserError: no such kind.
    """
    if kind in LOCAL:
        from harness.backends.replicas import ReplicatedBackend, parted

        replicas, own = parted(options)
        one = _local(kind, own)
        if replicas.wanted:
            return ReplicatedBackend(functools.partial(_local, kind, own), replicas, one.options.gpus)
        return one
    if kind == "openai":
        from harness.backends.openai import OpenAIBackend, OpenAIOptions

        return OpenAIBackend(typed(OpenAIOptions, options, "backend."))
    if kind == "replay":
        from harness.backends.replay import ReplayBackend, ReplayOptions

        return ReplayBackend(typed(ReplayOptions, options, "backend."))
    raise UserError(f"backend.kind = {kind}, which is no kind of backend.", did_you_mean(kind, KINDS))


def _local(kind: str, options: dict[str, Any]) -> TorchBackend | VllmBackend:
    """One engine in this process."""
    if kind == "vllm":
        from harness.backends.vllm import VllmBackend, VllmOptions

        return VllmBackend(typed(VllmOptions, options, "backend."))
    from harness.backends.torch import TorchBackend, TorchOptions

    return TorchBackend(typed(TorchOptions, options, "backend."))
