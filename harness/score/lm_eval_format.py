"""Scores in the results format of lm-eval, for tools that read that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.plan.planner import Plan
from harness.score.scorer import TaskScores


def results(
    plan: Plan, scores: Sequence[TaskScores], summary: dict[str, Any], receipt: dict[str, Any]
) -> dict[str, Any]:
    """The contents of ``results.json``."""
    tasks = {task.name: task for bench in plan.benchmarks for task in bench.tasks}
    by_task = {}
    for task in scores:
        entry: dict[str, Any] = {"alias": task.task}
        for name, metric in summary["tasks"][task.task]["metrics"].items():
            key, _, other = name.partition(",")
            label = other or task.filter
            entry[f"{key},{label}"] = metric["value"]
            entry[f"{key}_stderr,{label}"] = metric["stderr"] if metric["stderr"] is not None else "N/A"
        by_task[task.task] = entry
    groups = {}
    for name, bench in summary["benchmarks"].items():
        if len(bench["tasks"]) > 1:
            # a row made of members has no filter of its own
            chosen = bench.get("filter", "none")
            label, error = f"{bench['metric']},{chosen}", f"{bench['metric']}_stderr,{chosen}"
            groups[name] = {"alias": bench["title"], label: bench["value"], error: bench["stderr"]}
    return {
        "results": {**by_task, **groups},
        "groups": groups,
        "group_subtasks": {name: bench["tasks"] for name, bench in summary["benchmarks"].items()},
        "configs": {name: _config(task.task) for name, task in tasks.items()},
        "versions": {name: task.task.VERSION for name, task in tasks.items()},
        "n-shot": {name: task.shots for name, task in tasks.items()},
        "higher_is_better": {s.task: {m.split(",")[0]: up for m, up in s.higher_is_better.items()} for s in scores},
        "n-samples": {name: {"original": t.available, "effective": len(t.docs)} for name, t in tasks.items()},
        "config": {"model": receipt["model"]["kind_of_backend"], "model_args": receipt["model"]},
        "model_name": receipt["model"]["model"],
        "lm_eval_version": receipt["versions"]["lm_eval"],
    }


def _config(task: Any) -> dict[str, Any]:
    config: dict[str, Any] = task.dump_config()
    return config
