"""Several engines of one backend, as Ray actors on this machine or a cluster."""

from harness.backends.replicas.backend import ReplicatedBackend
from harness.backends.replicas.options import RayOptions, ReplicaOptions, parted

__all__ = ["RayOptions", "ReplicaOptions", "ReplicatedBackend", "parted"]
