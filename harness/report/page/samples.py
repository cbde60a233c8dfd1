"""The samples of several runs side by side: a doc once, with each run's answer to it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

from harness.compare.runs import Run, tasks_of
from harness.report.page.prompts import Docs, Prompt, Prompts

OWN = ("doc_id", "task", "prompt_sha256", "target", "raw", "extracted", "rule", "score", "truncated", "unparsed")


class Verdict(IntEnum):
    """What an answer is worth, as the page's filter has it."""

    ABSENT = 0
    """The run was not asked this doc."""
    WRONG = 1
    PARTLY = 2
    RIGHT = 3
    OPEN = 4
    """Its metric exists for whole sets only."""


class Flag(IntFlag):
    """What else a person may look for."""

    UNPARSED = 1
    TRUNCATED = 2
    DOUBT = 4
    """The imported file puts its own verdict in doubt."""
    DIFFERS = 8
    """The imported verdict is another one."""


@dataclass(frozen=True)
class Answer:
    """One run's answer to a doc."""

    verdict: Verdict
    """Right, wrong or neither."""
    flags: Flag
    """Unparsed, truncated and so on."""
    raw: str
    """The text, or the choices' log-likelihoods as JSON."""
    likelihoods: tuple[float, ...] | None
    """The choices' log-likelihoods, where they were asked."""
    extracted: str | None
    """What was taken from it."""
    rule: str | None
    """The rule that found that."""
    metrics: dict[str, float]
    """All metrics by name."""
    published: dict[str, Any] | None
    """The imported verdict and answer, and what is in doubt about it."""
    prompt: Prompt | None
    """What was asked."""
    doc: dict[str, Any] | None
    """The doc's fields, where no prompt is known."""


@dataclass
class Doc:
    """A doc that at least one run was asked."""

    doc_id: str
    """As in its data set."""
    target: str
    """The right answer."""
    answers: list[Answer | None]
    """One a run."""


@dataclass(frozen=True)
class TaskDocs:
    """The docs of one task."""

    task: str
    """The task's name."""
    docs: list[Doc] = field(default_factory=list)
    """In the order of the first run that has them."""


def read_samples(runs: Sequence[Run]) -> tuple[list[TaskDocs], list[str]]:
    """All samples by task, in the order of the rows, and a line for every run that has none."""
    prompts = [Prompts(run.folder) for run in runs]
    fields = [Docs(run.folder) for run in runs]
    published = [_published(run) for run in runs]
    wanted = dict.fromkeys(task for run in runs for row in run.rows for task in tasks_of(run, row))
    # a task can be scored without being in a row, where a row's other members are missing
    wanted |= dict.fromkeys(task for run in runs for task in run.scores["tasks"])
    found = []
    lacking: dict[str, int] = {}
    for task in wanted:
        docs: dict[str, Doc] = {}
        for i, run in enumerate(runs):
            if task not in run.scores["tasks"]:
                continue
            path = run.folder / "samples" / f"{task}.parquet"
            if not path.is_file():
                lacking[run.name] = lacking.get(run.name, 0) + 1
                continue
            for sample in _rows(path):
                doc_id = str(sample["doc_id"])
                doc = docs.get(doc_id)
                if doc is None:
                    doc = docs[doc_id] = Doc(doc_id, _text(sample.get("target")) or "", [None] * len(runs))
                prompt = prompts[i].find(sample.get("prompt_sha256"))
                own = fields[i].find(task, doc_id) if prompt is None else None
                doc.answers[i] = _answer(sample, prompt, own, published[i].get((task, doc_id)))
        found.append(TaskDocs(task, list(docs.values())))
    notes = [f"{name}: samples of {n} tasks are not in its folder" for name, n in lacking.items()]
    return [task for task in found if task.docs], notes


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


def _answer(
    sample: dict[str, Any], prompt: Prompt | None, doc: dict[str, Any] | None, published: dict[str, Any] | None
) -> Answer:
    verdict = judged(sample.get("score"))
    flags = Flag(0)
    flags |= Flag.UNPARSED if sample.get("unparsed") else Flag(0)
    flags |= Flag.TRUNCATED if sample.get("truncated") else Flag(0)
    if published is not None:
        flags |= Flag.DOUBT if published["flag"] else Flag(0)
        other = judged(published["verdict"])
        flags |= Flag.DIFFERS if Verdict.OPEN not in (other, verdict) and other is not verdict else Flag(0)
    raw = _text(sample.get("raw")) or ""
    return Answer(
        verdict,
        flags,
        raw,
        _likelihoods(raw) if sample.get("rule") == "argmax" else None,
        _text(sample.get("extracted")),
        _text(sample.get("rule")),
        {
            name: float(value)
            for name, value in sample.items()
            if name == "score" or (name not in OWN and name != "cluster")
            if isinstance(value, (int, float)) and not math.isnan(value)
        },
        published,
        prompt,
        doc,
    )


def judged(score: float | None) -> Verdict:
    """A score between 0 and 1 as a verdict."""
    if score is None or math.isnan(score):
        return Verdict.OPEN
    if score <= 0:
        return Verdict.WRONG
    return Verdict.RIGHT if score >= 1 else Verdict.PARTLY


def _likelihoods(raw: str) -> tuple[float, ...] | None:
    try:
        values = json.loads(raw)
    except json.JSONDecodeError:
        return None
    if not isinstance(values, list) or not all(isinstance(value, (int, float)) for value in values):
        return None
    return tuple(float(value) for value in values)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _published(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """The verdicts that came with imported outputs."""
    import pyarrow.parquet as pq

    path = run.folder / "published.parquet"
    if not path.is_file():
        return {}
    rows = pq.read_table(path, columns=["task", "doc_id", "verdict", "extracted", "flag"]).to_pylist()
    return {(row["task"], row["doc_id"]): row for row in rows}
