"""lm-eval tasks for docs that came with foreign answers, with no data set behind them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.paths import conf_dir
from harness.plan import library
from harness.plan.benchmark import Benchmark
from harness.plan.data import Source
from harness.plan.planner import DocPlan, TaskPlan
from harness.replay import programs
from harness.replay.rows import SAMPLE_OF, Doc

# what a task needs to find, change and show docs: those of a foreign file are asked already
UNASKED = ("process_docs", "fewshot_config", "fewshot_split", "dataset_kwargs", "custom_dataset", "unsafe_code")


@dataclass(frozen=True)
class OneDoc:
    """A data source that holds a single doc, from which lm-eval learns the columns."""

    doc: Doc
    """The doc."""

    def load(self, *_: Any) -> Mapping[str, Any]:
        """The doc, as whichever split."""
        from datasets import Dataset

        return _Every(Dataset.from_list([self.doc]))

    def rows(self, *_: Any) -> list[Doc]:
        """The doc alone."""
        return [self.doc]


class _Every(dict[str, Any]):
    """The same value under every key."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> Any:
        return self._value


def build(benchmark: Benchmark, task: str, docs: Iterable[DocPlan], shots: int, available: int) -> TaskPlan:
    """The task of a benchmark with these docs.

    Raises:
        MissingError: a package that the task needs is not there.
    """
    docs = tuple(docs)
    leaf = leaf_config(benchmark.name, benchmark.tasks, task)
    config = {key: value for key, value in leaf.items() if key not in UNASKED}
    config |= {"dataset_path": "imported/docs", "num_fewshot": 0, "metadata": dict(leaf.get("metadata") or {})}
    if SAMPLE_OF in docs[0].doc:
        config["metadata"]["cluster"] = SAMPLE_OF
    source: Any = OneDoc(docs[0].doc)
    made = library.build(config, source, benchmark.options)
    return TaskPlan(task, made, shots, docs, available)


def leaf_config(benchmark: str, names: tuple[str, ...], task: str) -> dict[str, Any]:
    """The lm-eval config behind a task's name; of a benchmark without such a task, its first with the name changed."""
    own = programs.config(benchmark, task)
    if own is not None:
        return own
    leaves = _leaves(names)
    return next((dict(leaf) for leaf in leaves if leaf["task"] == task), {**leaves[0], "task": task})


@functools.lru_cache(maxsize=8)
def _leaves(names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(leaf for name in names for leaf in library.leaf_configs(name))


def benchmark_of(task: str, benchmark: str | None) -> tuple[str, str]:
    """The benchmark that a task of lm-eval's loop belongs to, and the task's name in it.

    Raises:
        UserError: no benchmark and no task of lm-eval has that name.
    """
    specs = dict(_specs())
    if benchmark is not None:
        if benchmark not in specs:
            found = library.find(benchmark)
            if found is None:
                raise UserError(f"benchmark = {benchmark}, which there is not.", did_you_mean(benchmark, specs))
            return benchmark, benchmark if found.kind == "task" else task
        tasks = [leaf["task"] for name in specs[benchmark] for leaf in library.leaf_configs(name)]
        return benchmark, task if task in tasks else tasks[0]
    for name, tasks in specs.items():
        if any(task == prefix or task.startswith(f"{prefix}_") for prefix in tasks):
            return name, task
    if library.find(task) is None:
        raise UserError(
            f"no benchmark or lm-eval task {task}.", f"Name one with --benchmark: {did_you_mean(task, specs)}"
        )
    return task, task


def _specs() -> Iterator[tuple[str, list[str]]]:
    """Benchmarks with the tasks of all values of their choices."""
    for file in sorted((conf_dir() / "benchmark").glob("*.yaml")):
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        names = []
        for name in spec.get("tasks", ()):  # a row made of members has none
            filled = [name]
            for key, values in spec.get("choices", {}).items():
                filled = [text.replace(f"${{{file.stem}.{key}}}", str(v)) for text in filled for v in values]
            names += list(dict.fromkeys(filled))
        if names:
            yield file.stem, names


def real_docs(benchmark: Benchmark, root: Path) -> tuple[dict[tuple[str, str], Doc], Source]:
    """The docs of a benchmark's data set by (task, id), from a mirror.

    Raises:
        MissingError: the mirror does not have the data set.
    """
    source = Source("mirror", root)
    found: dict[tuple[str, str], Doc] = {}
    for leaf in _leaves(benchmark.tasks):
        task = library.build({k: v for k, v in leaf.items() if k != "fewshot_config"}, source, benchmark.options)
        field = (task.config.metadata or {}).get("doc_id")
        for row, doc in enumerate(task.task_docs):
            found[task.task_name, str(doc[field]) if field else str(row)] = doc
    return found, source
