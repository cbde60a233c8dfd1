"""A real vLLM engine on CPU: ``make test-vllm`` has it in an environment of its own, other runs skip these tests."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest

# one process, one thread, and no core kept free: these tests run on small machines beside others
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

ENGINE = {"max_model_len": 1024, "enforce_eager": True, "max_num_seqs": 32}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("vllm") is None:
        skip = pytest.mark.skip(reason="needs vLLM: make test-vllm")
        for item in items:
            if item.get_closest_marker("vllm") is not None:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def vllm_backend() -> Any:
    """The embedded model in float32, exported once."""
    from harness.backends import make_backend

    backend = make_backend("vllm", {"dtype": "float32", "engine": ENGINE})
    backend.check()
    return backend


@pytest.fixture(scope="session")
def torch_backend() -> Any:
    """The same model and dtype by transformers."""
    from harness.backends import make_backend

    backend = make_backend("torch", {"dtype": "float32"})
    backend.check()
    return backend
