"""The parts of a receipt that say how a benchmark was measured, and with what."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness import __version__
from harness.plan.planner import BenchmarkPlan, TaskPlan

PACKAGES = ("lm_eval", "datasets", "numpy", "pandas", "sacrebleu", "torch", "transformers", "tokenizers")


def benchmark_entry(bench: BenchmarkPlan) -> dict[str, Any]:
    """Protocol choices, data and prompts of one benchmark."""
    prompts = hashlib.sha256()
    for task in bench.tasks:
        for doc in task.docs:
            prompts.update(doc.prompt_sha256.encode())
    return {
        **asdict(bench.benchmark),
        "shots": bench.tasks[0].shots,
        "tasks": {task.name: _task_entry(task) for task in bench.tasks},
        "absent": bench.absent,
        "data": [asdict(repo) for repo in bench.repos],
        "prompts_sha256": prompts.hexdigest(),
        "lettered": bench.lettered,
        "complete": bench.complete,
        "sample_data": bench.sample_data,
    }


def _task_entry(task: TaskPlan) -> dict[str, Any]:
    """How many docs, and the columns that a task's ``metadata`` names under ``receipt``: the same in all its docs."""
    columns = (task.task.config.metadata or {}).get("receipt", ()) if task.docs else ()
    return {
        "docs": len(task.docs),
        "of": task.available,
        "version": task.task.VERSION,
        **{column: task.docs[0].doc[column] for column in columns},
    }


def versions() -> dict[str, str]:
    """Of this program, Python and the packages that can move a score."""
    found = {"harness": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
