"""``backend.replicas`` and ``backend.ray.*``: the keys that any local backend takes beside its own."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from harness.errors import UserError
from harness.typed import typed


@dataclass  # not frozen: OmegaConf would not merge a user's keys into it
class RayOptions:
    """Where replicas run, and what each of them takes."""

    address: str | None = None
    """``host:port`` of a cluster to join, or ``auto``; None starts a private one on this machine's loopback."""
    cpus: float = 1.0
    """CPUs of each replica."""
    gpus: float | None = None
    """GPUs of each replica; None takes what one engine needs, or none where the cluster has none."""


@dataclass
class ReplicaOptions:
    """How many engines there are, and where."""

    replicas: int = 1
    """Engines that answer side by side."""
    ray: RayOptions = field(default_factory=RayOptions)
    """Where they run."""

    @property
    def wanted(self) -> bool:
        """Whether Ray is needed at all: one engine without a cluster runs in this process."""
        return self.replicas > 1 or self.ray.address is not None


def parted(options: dict[str, Any]) -> tuple[ReplicaOptions, dict[str, Any]]:
    """These keys out of a backend's options, and the rest.

    Raises:
        UserError: an unknown key, a value of the wrong type, or no replicas.
    """
    names = [f.name for f in fields(ReplicaOptions)]
    own = typed(ReplicaOptions, {k: v for k, v in options.items() if k in names}, "backend.")
    if own.replicas < 1:
        raise UserError(f"backend.replicas = {own.replicas}, which answers nothing.", "Set it to 1 or more.")
    for key in ("cpus", "gpus"):
        value = getattr(own.ray, key)
        if value is not None and value < 0:
            raise UserError(f"backend.ray.{key} = {value:g}, which is negative.", "Set it to 0 or more.")
    return own, {k: v for k, v in options.items() if k not in names}
