"""The receipt of a run: what exactly was measured, how, and with what."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness import __version__
from harness.plan.planner import BenchmarkPlan, TaskPlan
from harness.prepare import Prepared
from harness.score.execution import choose_sandbox, toolchains

PACKAGES = ("lm_eval", "datasets", "numpy", "pandas", "sacrebleu", "torch", "transformers", "tokenizers")


def identify(prepared: Prepared) -> dict[str, Any]:
    """What makes two runs the same measurement."""
    wanted = prepared.config.precision
    return {
        "model": prepared.backend.fingerprint(),
        "plan": prepared.plan.sha256,
        "benchmarks": {
            **{b.benchmark.name: asdict(b.benchmark) for b in prepared.plan.benchmarks},
            **{row.name: asdict(row) for row in prepared.plan.composites},
        },
        **({} if wanted is None else {"precision": wanted.described}),
    }


def make_receipt(prepared: Prepared, identity: dict[str, Any]) -> dict[str, Any]:
    """What exactly is measured."""
    backend = prepared.backend
    return {
        "identity": identity,
        "config": prepared.config.resolved,
        "model": backend.describe(),
        "benchmarks": {b.benchmark.name: benchmark_entry(b) for b in prepared.plan.benchmarks},
        "composites": {row.name: asdict(row) for row in prepared.plan.composites},
        "prompt": {
            "form": prepared.config.settings.form,
            "chat": bool(prepared.config.settings.chat),
            "fewshot_as_multiturn": prepared.config.settings.multiturn,
            "continues_assistant": prepared.config.settings.continues,
        },
        "skipped": prepared.plan.skipped,
        "execution": _execution(prepared),
        "plan": {"sha256": prepared.plan.sha256, "requests": sum(1 for _ in prepared.plan.requests)},
        "versions": versions(),
    }


def _execution(prepared: Prepared) -> dict[str, Any]:
    """For the receipt: how programs are run, if any benchmark runs some."""
    languages = {language for bench in prepared.plan.benchmarks for language in bench.languages}
    if not languages:
        return {}
    return {"sandbox": choose_sandbox(prepared.config.sandbox), "toolchains": toolchains.require(languages)}


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
