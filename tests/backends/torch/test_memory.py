from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.backends.torch import TorchBackend, TorchOptions, memory
from harness.errors import UserError

from .conftest import make_model


def test_keys_and_values_are_counted_as_transformers_keeps_them(tiny: Any) -> None:
    with torch.inference_mode():
        cache = tiny(torch.tensor([[3, 4, 5]]), use_cache=True).past_key_values
    held = sum(t.nbytes for layer in cache.layers for t in (layer.keys, layer.values))
    assert memory.kv_bytes(tiny) == held / 3


FREED_AND_ASKED_FOR = """
import resource, torch
from harness.backends.torch import memory
memory.keep_freed()
for i in range(8):
    if i == 3:  # the first ones are new to the process
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(28 * 2**20, dtype=torch.uint8) for _ in range(2)]
    if i == 0:  # what is freed here changes the ways as well
        heap = next(line for line in open("/proc/self/maps") if "[heap]" in line).split()[0]
        first, last = (int(edge, 16) for edge in heap.split("-"))
        kept = sum(first <= tensor.data_ptr() < last for tensor in held)
    del held
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, whose ways are changed")
def test_freed_memory_is_not_asked_for_again() -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))}
    code = [sys.executable, "-c", FREED_AND_ASKED_FOR]
    run = subprocess.run(code, capture_output=True, text=True, check=True, env=kept)
    on_heap, pages = map(int, run.stdout.split())
    assert on_heap == 2  # and not mapped from the system
    assert pages < 1000  # of 70,000 that are written to


def test_a_pass_is_as_large_as_the_free_memory_allows(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for free in (1, 100_000, 1_000_000, 10**12):
        monkeypatch.setattr(memory, "_free", lambda model, free=free: [free])
        sizes.append(memory.pass_tokens(tiny))
    assert sizes[0] == 1
    assert 1 < sizes[1] < sizes[2] == 10 * sizes[1] + sizes[2] % 10 < sizes[3] == memory.FASTEST["cpu"]


def test_a_larger_model_gets_smaller_passes(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", lambda model: [1_000_000])
    assert memory.pass_tokens(make_model("Qwen2", intermediate_size=960)) < memory.pass_tokens(tiny)


def test_a_pass_with_its_keys_and_values_stays_below_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", lambda model: [10**12])
    large = make_model("Qwen2", hidden_size=600, intermediate_size=200_000, num_hidden_layers=1)
    shape = memory.Shape.of(large)
    assert memory.pass_tokens(large) * 4 * 3 * shape.inner < memory.GIGA
    assert memory.pass_tokens(large) < memory.FASTEST["cpu"]


@pytest.mark.parametrize(
    ("config", "inner"),
    [
        ({"hidden_size": 8}, 32),
        ({"hidden_size": 8, "intermediate_size": [16, 64]}, 64),
        ({"hidden_size": 8, "intermediate_size": 64, "moe_intermediate_size": 16, "num_experts_per_tok": 3}, 48),
    ],
)
def test_shapes_of_all_kinds_are_read(config: dict[str, Any], inner: int) -> None:
    text = SimpleNamespace(**config)
    shape = memory.Shape.of(SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text)))
    assert (shape.hidden, shape.inner) == (8, inner)
    assert shape.groups * shape.size == 8


def test_what_says_that_memory_ran_out() -> None:
    for text in ("DefaultCPUAllocator: can't allocate memory: you tried", "CUDA error: out of memory"):
        assert memory.out_of_memory(RuntimeError(text))
    assert memory.out_of_memory(torch.OutOfMemoryError("no"))
    assert not memory.out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_number_of_the_user_is_taken_as_it_is(tiny_checkpoint: Path) -> None:
    assert TorchBackend(TorchOptions(model=str(tiny_checkpoint), batch_tokens=77)).batch_tokens == 77
    assert TorchBackend(TorchOptions(model=str(tiny_checkpoint))).batch_tokens == memory.FASTEST["cpu"]


def test_too_little_memory_is_named_with_how_much_is_needed(tiny: Any) -> None:
    memory.within(tiny, 100, 100)
    with pytest.raises(UserError, match=r"kv_memory .* 100 tokens, but up to 15,000") as caught:
        memory.within(tiny, 100, 15_000)
    enough = float(re.search(r"to (\S+) \(GB\) or more", caught.value.remedy)[1])  # type: ignore[index]
    assert 15_000 <= memory.kv_tokens(tiny, enough) < 1.1 * 15_000
