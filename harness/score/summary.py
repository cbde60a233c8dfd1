"""From verdicts to numbers: per task and per benchmark, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.plan.planner import BenchmarkPlan, Plan
from harness.score import statistics
from harness.score.scorer import TaskScores


def summarise(plan: Plan, scores: Sequence[TaskScores]) -> dict[str, Any]:
    """The contents of ``scores.json``: all values are shares (0 to 1) unless the metric has its own unit."""
    tasks = {s.task: task_summary(s) for s in scores}
    benchmarks = {}
    for bench in plan.benchmarks:
        own = [s for s in scores if s.benchmark == bench.benchmark.name]
        if own:
            benchmarks[bench.benchmark.name] = _benchmark_summary(bench, own, tasks)
    return {"benchmarks": benchmarks, "tasks": tasks, "skipped": plan.skipped}


def task_summary(scores: TaskScores) -> dict[str, Any]:
    """Value, standard error, n and shares of one task."""
    metrics = {name: _metric(scores, name) for name in scores.values}
    return {
        "benchmark": scores.benchmark,
        "metric": scores.metric,
        "filter": scores.filter,
        "form": scores.form,
        **metrics[scores.metric],
        "n": len(scores.samples),
        "unparsed": float(scores.samples["unparsed"].mean()),
        "truncated": float(scores.samples["truncated"].mean()),
        "rules": _rules(scores),
        "metrics": metrics,
    }


def _rules(scores: TaskScores) -> dict[str, float]:
    """The share of answers that each extraction rule found."""
    shares = scores.samples["rule"].dropna().value_counts() / len(scores.samples)
    return {str(rule): float(share) for rule, share in shares.items()}


def _metric(scores: TaskScores, name: str) -> dict[str, Any]:
    values = scores.values[name]
    aggregate = scores.aggregations[name]
    plain = all(isinstance(v, (bool, int, float, np.number)) for v in values)
    if plain and (aggregate is None or getattr(aggregate, "__name__", "") == "mean"):
        numbers = np.asarray(values, dtype=float)
        if "cluster" in scores.samples:
            stderr = statistics.clustered_stderr(numbers, list(scores.samples["cluster"]))
            return {"value": float(numbers.mean()), "stderr": stderr, "stderr_kind": "clustered"}
        return {"value": float(numbers.mean()), "stderr": statistics.mean_stderr(numbers), "stderr_kind": "iid"}
    return {
        "value": float(aggregate(values)),
        "stderr": statistics.bootstrap_stderr(values, aggregate, seed=0),
        "stderr_kind": "bootstrap",
    }


def _benchmark_summary(bench: BenchmarkPlan, scores: Sequence[TaskScores], tasks: dict[str, Any]) -> dict[str, Any]:
    parts = [tasks[s.task] for s in scores]
    sizes = np.array([part["n"] for part in parts], dtype=float)
    macro = bench.benchmark.average == "macro"
    weights = np.full(len(parts), 1 / len(parts)) if macro else sizes / sizes.sum()
    values = np.array([part["value"] for part in parts])
    micro = float((values * sizes).sum() / sizes.sum())
    return {
        "title": bench.benchmark.title,
        "value": float((values * weights).sum()),
        "stderr": _stderr(scores, parts, weights, macro),
        "n": int(sizes.sum()),
        "of": sum(task.available for task in bench.tasks),
        "tasks": [s.task for s in scores],
        "shots": bench.tasks[0].shots,
        "metric": scores[0].metric,
        "filter": scores[0].filter,
        "form": scores[0].form,
        "average": bench.benchmark.average,
        "micro": micro,
        "macro": float(values.mean()),
        "options": bench.benchmark.options,
        "complete": bench.complete,
        "sample_data": bench.sample_data,
        "unparsed": float(sum(part["unparsed"] * part["n"] for part in parts) / sizes.sum()),
        "truncated": float(sum(part["truncated"] * part["n"] for part in parts) / sizes.sum()),
        "rules": {
            rule: float(sum(part["rules"].get(rule, 0) * part["n"] for part in parts) / sizes.sum())
            for rule in dict.fromkeys(rule for part in parts for rule in part["rules"])
        },
    }


def _stderr(scores: Sequence[TaskScores], parts: list[dict[str, Any]], weights: Any, macro: bool) -> float | None:
    """Of the benchmark's value: pooled over docs for a micro mean, combined over tasks otherwise."""
    pooled = all(part["metrics"][part["metric"]]["stderr_kind"] == "iid" for part in parts)
    if pooled and not macro:
        return statistics.mean_stderr(np.concatenate([s.samples["score"].to_numpy(dtype=float) for s in scores]))
    return statistics.combined_stderr([part["stderr"] for part in parts], list(weights))
