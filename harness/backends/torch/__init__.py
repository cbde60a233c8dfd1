"""Models in this process: transformers checkpoints on CPU or GPU."""

from harness.backends.torch.backend import TorchBackend, TorchOptions

__all__ = ["TorchBackend", "TorchOptions"]
