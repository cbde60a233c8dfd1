"""What two runs' receipts say differently about a row: a difference of scores must not be one of protocols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.compare.runs import Run, tasks_of

FIELDS = ("shots", "metric", "filter", "average", "options", "sample_data")
PROMPT = ("chat", "fewshot_as_multiturn")
GENERATED = ("generation", "data.longest")


def differences(first: Run, second: Run, row: str) -> list[str]:
    """One text a difference, as ``what: first / second``; empty for one protocol."""
    return list(dict.fromkeys(_differences(first, second, row)))


def _differences(first: Run, second: Run, row: str) -> Iterator[str]:
    ours, theirs = first.rows[row], second.rows[row]
    for key in ("form", "lettered", "metric", "filter", "average", "unit", "options"):
        yield from _unequal(key, ours.get(key), theirs.get(key))
    tasks, others = tasks_of(first, row), tasks_of(second, row)
    if set(tasks) != set(others):
        yield f"tasks: {_some(set(tasks) - set(others))} / {_some(set(others) - set(tasks))}"
    both = [task for task in tasks if task in set(others)]
    for name in dict.fromkeys(_benchmark(first, task) for task in both):
        a, b = (run.receipt.get("benchmarks", {}).get(name, {}) for run in (first, second))
        for key in FIELDS:
            yield from _unequal(f"{name}.{key}", a.get(key), b.get(key))
        versions = [
            {task: (entry.get("tasks") or {}).get(task, {}).get("version") for task in both} for entry in (a, b)
        ]
        yield from _unequal(f"{name}.task versions", versions[0], versions[1])
        yield from _unequal(f"{name}.data", _data(a), _data(b))
    for key in PROMPT:
        yield from _unequal(f"prompt.{key}", *(run.receipt.get("prompt", {}).get(key) for run in (first, second)))
    if "generation" in (ours.get("form"), theirs.get("form")):
        for key in GENERATED:
            yield from _unequal(key, _setting(first, key), _setting(second, key))


def _benchmark(run: Run, task: str) -> str:
    return str(run.scores["tasks"][task].get("benchmark", task))


def _data(entry: dict[str, Any]) -> dict[str, Any]:
    """Hash of each split that both may have read."""
    return {
        f"{repo['id']} {repo['config']} {split}": sha256[:8]
        for repo in entry.get("data") or ()
        for split, sha256 in (repo.get("sha256") or {}).items()
    }


def _setting(run: Run, key: str) -> Any:
    found: Any = run.receipt.get("config") or {}
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    # how an answer is sent does not change it
    return {k: v for k, v in found.items() if v is not None and k != "stream"} if isinstance(found, dict) else found


def _unequal(key: str, first: Any, second: Any) -> Iterator[str]:
    """Of two mappings, only the entries that differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted(first.keys() | second.keys()):
            yield from _unequal(f"{key}.{name}", first.get(name), second.get(name))
    elif first != second:
        yield f"{key}: {_plain(first)} / {_plain(second)}"


def _plain(value: Any) -> str:
    return "not recorded" if value is None else str(value)


def _some(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") if listed else "–"
