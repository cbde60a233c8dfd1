"""Rows made of members: the figures of several benchmarks as one, with the standard error of their shared docs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from harness.plan.benchmark import Composite
from harness.plan.planner import Plan
from harness.score import statistics
from harness.score.scorer import TaskScores

NO_PROMPT: Final = hashlib.sha256(b"").hexdigest()
"""The hash of a prompt that was not published."""


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
        "stderr": statistics.weighted_stderr(list(_parts(row, members, scores, weights))),
        "n": total,
        "of": sum(member["of"] for member in members.values()),
        "members": list(members),
        "weights": weights,
        "tasks": list(weights),
        "shots": None,
        "other_shots": {
            name: member["shots"]
            for name, member in members.items()
            if member["protocol_shots"] not in (None, member["shots"])
        },
        "metric": "mean of members",
        "filter": None,
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


def units(scores: TaskScores) -> list[str]:
    """What each doc is in the statistics: its cluster, or its prompt, since one prompt has one answer.

    A doc of an imported run whose prompt was not published stands alone.
    """
    samples = scores.samples
    if "cluster" in samples:
        return [str(name) for name in samples["cluster"]]
    pairs = zip(samples["prompt_sha256"], samples["doc_id"], strict=True)
    return [f"{scores.task}/{doc}" if prompt == NO_PROMPT else str(prompt) for prompt, doc in pairs]


def _parts(
    row: Composite, members: Mapping[str, dict[str, Any]], scores: Sequence[TaskScores], weights: Mapping[str, float]
) -> Iterator[tuple[float, Any, list[str]]]:
    """The means that the row is made of, as :func:`statistics.weighted_stderr` takes them.

    A member that pools its docs is one of them: some of its tasks may have a single doc.
    """
    for name, member in members.items():
        own = [s for s in scores if s.benchmark == name]
        pooled = row.average == "members" and member["average"] == "micro"
        for group in [own] if pooled else [[s] for s in own]:
            values = np.concatenate([s.samples["score"].to_numpy(dtype=float) for s in group])
            yield sum(weights[s.task] for s in group), values, [unit for s in group for unit in units(s)]
