"""Rows made of members: the figures of several benchmarks as one, with the standard error of their shared docs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.plan.benchmark import Composite
from harness.plan.planner import Plan
from harness.score import statistics
from harness.score.scorer import TaskScores


def composed(plan: Plan, scores: Sequence[TaskScores], benchmarks: dict[str, Any]) -> dict[str, Any]:
    """The entries of ``scores.json`` for the composite rows whose members are all there.

    Members learn what they are part of.
    """
    languages = {t.name: (t.task.config.metadata or {}).get("language") for b in plan.benchmarks for t in b.tasks}
    found = {}
    for row in plan.composites:
        members = {name: benchmarks[name] for name in row.members if name in benchmarks}
        if len(members) == len(row.members):
            found[row.name] = _entry(row, members, languages, [s for s in scores if s.benchmark in members])
        for member in members.values():
            member["part_of"] = row.title
    return found


def _entry(
    row: Composite,
    members: Mapping[str, dict[str, Any]],
    languages: Mapping[str, str | None],
    scores: Sequence[TaskScores],
) -> dict[str, Any]:
    means = {s.task: float(s.samples["score"].astype(float).mean()) for s in scores}
    ways = {"members": by_members(members)}
    if all(languages[task] for task in means):
        ways["languages"] = by_languages(members, {task: str(languages[task]) for task in means})
    values = {way: sum(weight * means[task] for task, weight in weights.items()) for way, weights in ways.items()}
    weights = ways[row.average]
    sizes = {name: member["n"] for name, member in members.items()}
    total = sum(sizes.values())
    return {
        "title": row.title,
        "value": values[row.average],
        "stderr": statistics.weighted_stderr([_part(s, weights[s.task]) for s in scores]),
        "n": total,
        "of": sum(member["of"] for member in members.values()),
        "members": list(members),
        "weights": weights,
        "tasks": list(weights),
        "shots": None,
        "metric": "mean of members",
        "unit": "share",
        "form": " and ".join(dict.fromkeys(member["form"] for member in members.values())),
        "average": row.average,
        "averages": values,
        "options": row.options,
        **{key: any(member[key] for member in members.values()) for key in ("lettered", "sample_data")},
        "complete": all(member["complete"] for member in members.values()),
        **{
            key: sum(member[key] * sizes[name] for name, member in members.items()) / total
            for key in ("unparsed", "truncated")
        },
    }


def by_members(members: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Each member counts the same, and its tasks as in its own figure."""
    return {task: weight / len(members) for member in members.values() for task, weight in member["weights"].items()}


def by_languages(members: Mapping[str, dict[str, Any]], languages: Mapping[str, str]) -> dict[str, float]:
    """Each language counts the same, and in it each member that has it, and its tasks as in its own figure."""
    shares: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for name, member in members.items():
        for task, weight in member["weights"].items():
            shares[languages[task]][name][task] = weight
    return {
        task: weight / sum(own.values()) / len(by_member) / len(shares)
        for by_member in shares.values()
        for own in by_member.values()
        for task, weight in own.items()
    }


def _part(scores: TaskScores, weight: float) -> tuple[float, Any, list[str]]:
    """A task's mean as :func:`statistics.weighted_stderr` takes it: docs with one prompt have one answer."""
    names = scores.samples["cluster" if "cluster" in scores.samples else "prompt_sha256"]
    return weight, scores.samples["score"].to_numpy(dtype=float), [str(name) for name in names]
