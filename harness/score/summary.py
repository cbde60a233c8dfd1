"""From verdicts to numbers: per task and per benchmark, with standard errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.plan.planner import BenchmarkPlan, Plan
from harness.score import statistics
from harness.score.composite import composed, units
from harness.score.corpus import OfSums
from harness.score.scorer import TaskScores


def summarise(plan: Plan, scores: Sequence[TaskScores]) -> dict[str, Any]:
    """The contents of ``scores.json``; see ``unit`` of each value."""
    tasks = {s.task: task_summary(s) for s in scores}
    benchmarks = {}
    for bench in plan.benchmarks:
        own = [s for s in scores if s.benchmark == bench.benchmark.name]
        # a group of lm-eval's may mix metrics, which have no common average: one entry each
        metrics = list(dict.fromkeys(s.metric for s in own))
        for metric in metrics:
            alike = [s for s in own if s.metric == metric]
            suffix = f" ({metric})" if len(metrics) > 1 else ""
            benchmarks[bench.benchmark.name + suffix] = _benchmark_summary(bench, alike, tasks, suffix)
    return {"benchmarks": {**benchmarks, **composed(plan, scores, benchmarks)}, "tasks": tasks, "skipped": plan.skipped}


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
    """Value and standard error of one metric; its unit is ``share`` (0 to 1) or ``points`` (the metric's own)."""
    values = scores.values[name]
    aggregate = scores.aggregations[name]
    if not all(isinstance(v, (bool, int, float, np.number)) for v in values):
        return _resampled(values, aggregate, "points")
    numbers = np.asarray(values, dtype=float)
    unit = "share" if ((numbers >= 0) & (numbers <= 1)).all() else "points"
    if aggregate is not None and getattr(aggregate, "__name__", "") != "mean":
        return _resampled(values, aggregate, unit)
    # a language's docs are all different ones: what they share is with those of other languages, in the row's own error
    if "cluster" in scores.samples and scores.samples["cluster"].duplicated().any():
        stderr, kind = statistics.clustered_stderr(numbers, list(scores.samples["cluster"])), "clustered"
    else:
        stderr, kind = statistics.mean_stderr(numbers), "iid"
    return {"value": float(numbers.mean()), "stderr": stderr, "stderr_kind": kind, "unit": unit}


def _resampled(values: list[Any], aggregate: Callable[[list[Any]], float], unit: str) -> dict[str, Any]:
    if isinstance(aggregate, OfSums):
        stderr = statistics.bootstrap_sums_stderr(np.asarray(values, dtype=float), aggregate.of_sums, seed=0)
    else:
        stderr = statistics.bootstrap_stderr(values, aggregate, seed=0)
    return {"value": float(aggregate(values)), "stderr": stderr, "stderr_kind": "bootstrap", "unit": unit}


def _benchmark_summary(
    bench: BenchmarkPlan, scores: Sequence[TaskScores], tasks: dict[str, Any], suffix: str
) -> dict[str, Any]:
    plans = {task.name: task for task in bench.tasks}
    parts = [tasks[s.task] for s in scores]
    sizes = np.array([part["n"] for part in parts], dtype=float)
    macro = bench.benchmark.average == "macro"
    shares = np.full(len(parts), 1 / len(parts)) if macro else sizes / sizes.sum()
    weights = {s.task: float(share) for s, share in zip(scores, shares, strict=True)}
    values = np.array([part["value"] for part in parts])
    micro = float((values * sizes).sum() / sizes.sum())
    return {
        "title": bench.benchmark.title + suffix,
        "value": float((values * shares).sum()),
        "stderr": _stderr(scores, parts, shares, macro),
        "n": int(sizes.sum()),
        # tasks of which no doc was asked count too; a group of mixed metrics has several entries
        "of": sum(plan.available for name, plan in plans.items() if not suffix or name in weights),
        "tasks": [s.task for s in scores],
        "weights": weights,
        "shots": plans[scores[0].task].shots,
        "protocol_shots": bench.benchmark.protocol_shots,
        "metric": scores[0].metric,
        "filter": scores[0].filter,
        "unit": "share" if all(part["unit"] == "share" for part in parts) else "points",
        "form": scores[0].form,
        "lettered": bench.lettered,
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
    """Of the benchmark's value; docs of several tasks that are one question, or about one passage, vary together."""
    if any(part["metrics"][part["metric"]]["stderr_kind"] == "bootstrap" for part in parts):
        together = _drawn_together(scores, weights)
        return together if together is not None else statistics.combined_stderr([p["stderr"] for p in parts], weights)
    values = [s.samples["score"].to_numpy(dtype=float) for s in scores]
    names = [units(s) for s in scores]
    if macro:
        return statistics.weighted_stderr(list(zip(weights, values, names, strict=True)))
    return statistics.clustered_stderr(np.concatenate(values), [name for own in names for name in own])


def _drawn_together(scores: Sequence[TaskScores], weights: Any) -> float | None:
    """Of a mean of corpus metrics over the same sentences in every task; None where they are not the same."""
    aggregates = [s.aggregations[s.metric] for s in scores]
    tables = []
    for s in scores:
        order = np.argsort(np.asarray(units(s)), kind="stable")
        tables.append(np.asarray(s.values[s.metric], dtype=float)[order])
    if not all(isinstance(a, OfSums) for a in aggregates) or len({tuple(sorted(units(s))) for s in scores}) > 1:
        return None
    return statistics.joint_stderr(tables, [a.of_sums for a in aggregates], weights, seed=0)
