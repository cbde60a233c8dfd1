"""Docs without an answer: kept, counted and shown, and never scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.backends.base import Failed, Response
from harness.plan.planner import DocPlan, Plan


@dataclass(frozen=True)
class Failure:
    """A doc of which a request failed."""

    benchmark: str
    """The row."""
    task: str
    """The task."""
    doc_id: str
    """The doc."""
    prompt_sha256: str
    """Hash of its prompt."""
    error: str
    """Why there is no answer."""


def failures(plan: Plan, responses: Mapping[str, Response]) -> list[Failure]:
    """The docs of a plan that have no answer."""
    return [
        Failure(bench.benchmark.name, task.name, doc.doc_id, doc.prompt_sha256, error)
        for bench in plan.benchmarks
        for task in bench.tasks
        for doc in task.docs
        if (error := _error(doc, responses)) is not None
    ]


def _error(doc: DocPlan, responses: Mapping[str, Response]) -> str | None:
    found = (responses.get(request.hash) for request in doc.requests)
    return next((response.error for response in found if isinstance(response, Failed)), None)


def have_answers(docs: Sequence[DocPlan], responses: Mapping[str, Response]) -> tuple[DocPlan, ...]:
    """The docs of which no request failed."""
    return tuple(doc for doc in docs if _error(doc, responses) is None)


def without(plan: Plan, responses: Mapping[str, Response]) -> Plan:
    """A plan without the docs that have no answer; a benchmark with none left is skipped, with the reason."""
    kept, skipped = [], dict(plan.skipped)
    for bench in plan.benchmarks:
        tasks = tuple(replace(task, docs=have_answers(task.docs, responses)) for task in bench.tasks)
        if any(task.docs for task in tasks) or not any(task.docs for task in bench.tasks):
            kept.append(replace(bench, tasks=tasks))
        else:
            error = next(e for t in bench.tasks for d in t.docs if (e := _error(d, responses)) is not None)
            skipped[bench.benchmark.name] = f"none of its docs has an answer: {error}"
    return replace(plan, benchmarks=tuple(kept), skipped=skipped)


def annotate(summary: dict[str, Any], failed: Sequence[Failure]) -> None:
    """Put into ``scores.json`` how many docs of each task and row are left out."""
    for failure in failed:
        entries = [summary["tasks"].get(failure.task)]
        entries += [
            entry
            for name, entry in summary["benchmarks"].items()
            if failure.task in entry["tasks"]
            or name == failure.benchmark
            or failure.benchmark in entry.get("members", ())
        ]
        for entry in entries:
            if entry is not None:
                entry["failed"] = entry.get("failed", 0) + 1
