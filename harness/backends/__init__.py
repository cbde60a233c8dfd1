"""What answers requests: one module a kind of engine, loaded when it is chosen."""

from __future__ import annotations

from typing import Any

from harness.backends.base import Backend, Capabilities, Generated, Response, Scored, from_json, to_json
from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.typed import typed

KINDS = ("torch", "vllm", "replay")

__all__ = [
    "KINDS",
    "Backend",
    "Capabilities",
    "Generated",
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
    if kind == "torch":
        from harness.backends.torch import TorchBackend, TorchOptions

        return TorchBackend(typed(TorchOptions, options, "backend."))
    if kind == "vllm":
        from harness.backends.vllm import VllmBackend, VllmOptions

        return VllmBackend(typed(VllmOptions, options, "backend."))
    if kind == "replay":
        from harness.backends.replay import ReplayBackend, ReplayOptions

        return ReplayBackend(typed(ReplayOptions, options, "backend."))
    raise UserError(f"backend.kind = {kind}, which is no kind of backend.", did_you_mean(kind, KINDS))
