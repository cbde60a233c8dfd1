"""Helpers of the tests of the benchmark definitions."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import yaml

from harness.config import Config, load
from harness.paths import conf_dir, tasks_dir
from harness.plan import Plan, library, make_plan
from harness.plan.planner import BenchmarkPlan

OWN = ("mmlu", "mmlu_pro", "gpqa", "theoremqa", "bbh", "hellaswag", "winogrande", "arc_c", "truthfulqa")
OWN += ("gsm8k", "math", "c_eval", "cmmlu")
OWN += ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "multipl_e")
OWN += ("m3exam", "indommlu", "rummlu", "mmmlu")
OWN += ("belebele", "xcopa", "xwinograd", "xstorycloze", "paws_x")
OWN += ("mgsm", "flores")
# parts of a published row, which are no rows themselves
MEMBERS = ("humaneval_plus", "mbpp_plus", "m3exam", "indommlu", "rummlu", "mmmlu")
MEMBERS += ("belebele", "xcopa", "xwinograd", "xstorycloze", "paws_x")


def utils(benchmark: str) -> ModuleType:
    """The helpers of a benchmark's tasks."""
    path = tasks_dir() / benchmark / "utils.py"
    spec = importlib.util.spec_from_file_location(f"tasks_{benchmark}_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spec(benchmark: str) -> dict[str, Any]:
    """What conf/benchmark says of a benchmark, interpolations as they are written."""
    data = yaml.safe_load((conf_dir() / "benchmark" / f"{benchmark}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def readings(benchmarks: Iterable[str] = OWN) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each benchmark as it is by default, then with each rival value of each of its choices."""
    for name in benchmarks:
        yield name, ()
        chosen = spec(name)
        for key, values in chosen.get("choices", {}).items():
            yield from ((name, (f"{name}.{key}={value}",)) for value in values if value != chosen[key])


def config(benchmark: str, *overrides: str, mirror: Path | None = None) -> Config:
    """The configuration of one benchmark on sample docs or on a mirror."""
    # with the protocol's own limit of new tokens, which answers to sample docs do not reach in a run
    data = ["data=mirror", f"data.root={mirror}"] if mirror else ["data=sample", "data.longest=null"]
    return load([f"benchmarks=[{benchmark}]", *data, *overrides])


def plan(benchmark: str, *overrides: str, mirror: Path | None = None, only: str | None = None) -> BenchmarkPlan:
    """The plan of one benchmark, or of one of its tasks only, where a mirror does not have them all."""
    chosen = config(benchmark, *overrides, mirror=mirror)
    leaves = library.leaf_configs

    def kept(name: str) -> list[dict[str, Any]]:
        return [leaf for leaf in leaves(name) if only in (None, leaf["task"])]

    with patch.object(library, "leaf_configs", kept):
        made: Plan = make_plan(chosen.benchmarks, chosen.source, chosen.settings, strict=True, named=True)
    return made.benchmarks[0]


def own_names() -> set[str]:
    """The tasks and groups of these benchmarks."""
    index = library.own_index()
    return {name for name, entry in index.items() if entry.path and Path(entry.path).parent.name in OWN}


def loglikelihood(context: str, continuation: str) -> float:
    """A log-likelihood that is a pure function of the text."""
    digest = hashlib.sha256(f"{context}\0{continuation}".encode()).digest()
    return -1.0 - int.from_bytes(digest[:6], "big") / 2**42
