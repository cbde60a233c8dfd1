"""What stands around the scores: runs at a glance, subjects and languages, lost answers, time and cost, receipts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.compare.runs import Run, tasks_of
from harness.report.judge import Z


@dataclass(frozen=True)
class Figure:
    """A run's figure for one part of a benchmark, in percent or points."""

    value: float
    """The metric."""
    stderr: float | None
    """Its standard error."""
    low: float
    """Lower end of the 95 % interval, within 0 to 100."""
    high: float
    """Its upper end."""
    n: int
    """Docs."""


@dataclass(frozen=True)
class Part:
    """A subject, a language, or another task of a benchmark."""

    label: str
    """Its name, without what all parts have in common."""
    figures: tuple[Figure | None, ...]
    """One a run."""


@dataclass(frozen=True)
class Breakdown:
    """A benchmark by its tasks."""

    title: str
    """The benchmark."""
    parts: tuple[Part, ...]
    """Its tasks, by name."""


def breakdowns(runs: Sequence[Run]) -> list[Breakdown]:
    """Every row with several tasks; a row made of members is broken down where its members are not."""
    found: dict[str, Breakdown] = {}
    covered: set[tuple[str, ...]] = set()
    titles = {row: str(run.rows[row]["title"]) for run in runs for row in run.rows}
    for row, title in titles.items():
        having = [run for run in runs if row in run.rows]
        tasks = list(dict.fromkeys(task for run in having for task in tasks_of(run, row)))
        if len(tasks) < 2 or title in found or tuple(tasks) in covered:
            continue
        covered.add(tuple(tasks))
        names = labels(tasks)
        parts = [Part(names[task], tuple(_figure(run.scores["tasks"].get(task)) for run in runs)) for task in tasks]
        found[title] = Breakdown(title, tuple(sorted(parts, key=lambda part: part.label)))
    return list(found.values())


def _figure(task: dict[str, Any] | None) -> Figure | None:
    if task is None or task.get("value") is None:
        return None
    unit = 100.0 if task.get("unit", "share") == "share" else 1.0
    value = task["value"] * unit
    error = None if task.get("stderr") is None else task["stderr"] * unit
    reach = Z * error if error is not None else 0.0
    return Figure(value, error, max(0.0, value - reach), min(100.0, value + reach), int(task["n"]))


def labels(tasks: Sequence[str]) -> dict[str, str]:
    """Names of tasks without their common beginning, words apart."""
    words = [task.split("_") for task in tasks]
    shared = 0
    while all(len(each) > shared + 1 for each in words) and len({each[shared] for each in words}) == 1:
        shared += 1
    return {task: " ".join(each[shared:] if len(tasks) > 1 else each) for task, each in zip(tasks, words, strict=True)}


def short_names(names: Sequence[str]) -> list[str]:
    """Names for narrow columns: what all begin with, up to a sign between words, is left out."""
    if len(names) < 2:
        return list(names)
    alike = itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False))
    shared = "".join(signs[0] for signs in alike)
    end = max(shared.rfind(sign) + 1 for sign in "-_. /=")
    # a word joiner keeps the dots with what follows
    return [f"…\u2060{name[end:]}" for name in names] if end > 3 else list(names)


@dataclass(frozen=True)
class Lost:
    """How the answers of one run to one benchmark were read."""

    title: str
    """The benchmark."""
    run: int
    """The run's number."""
    n: int
    """Docs."""
    of: int | None
    """Docs that there are."""
    unparsed: float
    """Percent of outputs without an answer."""
    truncated: float
    """Percent of outputs that the limit cut."""
    rules: tuple[tuple[str, float], ...]
    """How often each extraction rule fired, in percent, the most frequent first."""


def lost(runs: Sequence[Run]) -> list[Lost]:
    """One line a benchmark and run."""
    return [
        Lost(
            str(entry["title"]),
            i,
            int(entry["n"]),
            entry.get("of"),
            100 * float(entry.get("unparsed") or 0.0),
            100 * float(entry.get("truncated") or 0.0),
            _fired(entry),
        )
        for title in dict.fromkeys(str(entry["title"]) for run in runs for entry in run.rows.values())
        for i, run in enumerate(runs)
        for entry in run.rows.values()
        if str(entry["title"]) == title
    ]  # fmt: skip


def _fired(entry: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    rules = [(str(rule), 100 * float(share)) for rule, share in (entry.get("rules") or {}).items()]
    return tuple(sorted(rules, key=lambda rule: -rule[1]))


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    asked: int | None
    """Requests sent."""
    stored: int | None
    """Requests answered from the store."""
    prompt_tokens: int | None
    """Tokens of the prompts."""
    completion_tokens: int | None
    """Tokens that were generated."""
    seconds: float | None
    """From the first request to the last response."""
    usd: float | None
    """US dollars."""
    saved: float | None
    """Percent of the prompts' tokens that shared prefixes saved."""


def cost(run: Run) -> Cost:
    """Time, tokens and dollars, as far as the receipt knows them."""
    totals, took = run.receipt.get("totals") or {}, run.receipt.get("took") or {}
    if not took and (earlier := run.receipt.get("earlier")):
        took = earlier[-1]["took"]
    whole, saved = took.get("prompt_tokens"), took.get("saved_tokens")
    return Cost(
        totals.get("asked"), totals.get("stored"), totals.get("prompt_tokens"), totals.get("completion_tokens"),
        totals.get("seconds"), totals.get("cost_usd"), 100 * saved / whole if whole and saved is not None else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """How one benchmark was measured."""

    title: str
    """The benchmark."""
    facts: tuple[tuple[str, str], ...]
    """Name and value."""


@dataclass(frozen=True)
class Receipt:
    """A run at a glance, with its whole receipt."""

    facts: tuple[tuple[str, str], ...]
    """Name and value: model, dates, versions."""
    protocols: tuple[Protocol, ...]
    """One a benchmark."""
    whole: str
    """All of ``receipt.json``."""


def receipt(run: Run) -> Receipt:
    """What exactly was measured."""
    known = run.receipt
    model = known.get("model") or {}
    facts = [(name.replace("_", " "), _plain(value)) for name, value in model.items()]
    facts += [(name, str(known[name])) for name in ("status", "started", "finished", "rescored") if known.get(name)]
    prompt = known.get("prompt") or {}
    facts += [("prompt", ", ".join(f"{name} {_plain(value)}" for name, value in prompt.items()))] if prompt else []
    execution = known.get("execution") or {}
    facts += [("execution", _plain(execution))] if execution else []
    facts += [("plan", _plain(known["plan"]["sha256"]))] if "sha256" in (known.get("plan") or {}) else []
    facts += [("versions", ", ".join(f"{name} {value}" for name, value in (known.get("versions") or {}).items()))]
    protocols = [_protocol(name, entry, run) for name, entry in (known.get("benchmarks") or {}).items()]
    whole = json.dumps(known, ensure_ascii=False, indent=1, default=str)
    return Receipt(tuple((name, text) for name, text in facts if text), tuple(protocols), whole)


def _protocol(name: str, entry: dict[str, Any], run: Run) -> Protocol:
    scored = run.rows.get(name, {})
    data = [_data(repo) for repo in entry.get("data") or ()]
    tasks = list(entry.get("tasks") or {})
    first = ", ".join(tasks[:4]) + (" …" if len(tasks) > 4 else "")
    facts = [
        ("form", str(scored.get("form") or "")),
        ("shots", str(entry.get("shots", ""))),
        ("metric", " of ".join(str(part) for part in (entry.get("metric"), entry.get("filter")) if part)),
        ("average", str(entry.get("average") or "")),
        ("options", ", ".join(f"{key} = {value}" for key, value in (entry.get("options") or {}).items())),
        ("tasks", first if len(tasks) == 1 else f"{len(tasks)}: {first}"),
        ("data", "; ".join(data[:3]) + (f"; and {len(data) - 3} more" if len(data) > 3 else "")),
        ("prompts", str(entry.get("prompts_sha256") or "")),
    ]  # fmt: skip
    return Protocol(str(entry.get("title") or name), tuple((key, value) for key, value in facts if value))


def _data(repo: dict[str, Any]) -> str:
    splits = ", ".join(f"{split} {sha256[:8]}" for split, sha256 in (repo.get("sha256") or {}).items())
    return f"{repo['id']} {repo['config']} ({splits})"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return "" if value is None else str(value)
