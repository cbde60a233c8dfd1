"""Run folders for pages: answers of every kind, and what a hostile model would write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

HOSTILE = (
    "<script>window.owned = 1</script>",
    "</script><script>window.owned = 2</script>",
    '<img src=x onerror="window.owned = 3">',
    '<a href="javascript:window.owned = 4">a way out</a>',
    '" autofocus onfocus="window.owned = 5" x="',
    "'--></style><svg/onload=window.owned=6>",
    "{{ 7 * 7 }}{% include 'page.html' %}${window.owned = 7}",
    "\u202egnp.exe\u2066 \u200f turned \ufeff\u2028 and \x00 \x1b[31m",
    "]]><iframe srcdoc='<script>parent.owned = 8</script>'></iframe><base href='http://localhost:9/'>",
)
LONG = "<b>" + "x" * 1_000_000 + "</b>"


@dataclass
class Sample:
    """One doc as a run answered it."""

    score: float | None
    """Its verdict."""
    raw: str = "The answer is 7."
    """What was said."""
    prefix: str = "Question: 1 + 1?\nAnswer: 2\n\n"
    """Header and few-shots."""
    query: str = "Question: 3 + 4?\nAnswer:"
    """The question."""
    target: str = "7"
    """The right answer."""
    extracted: str | None = "7"
    """What was taken from it."""
    rule: str | None = "last_number"
    """By which rule."""
    truncated: bool = False
    """Whether it was cut."""
    unparsed: bool = False
    """Whether nothing was found in it."""
    options: dict[str, Any] = field(default_factory=lambda: {"stop": [], "messages": []})
    """The rest of the request."""


def likelihoods(values: Sequence[float], gold: int, **changes: Any) -> Sample:
    """A question with choices."""
    choices = [f" {'ABCDEFGH'[i]}" for i in range(len(values))]
    best = max(range(len(values)), key=lambda i: values[i])
    return Sample(
        float(best == gold),
        json.dumps(list(values)),
        target=choices[gold],
        extracted=choices[best],
        rule="argmax",
        options={"continuations": choices, "messages": []},
        **changes,
    )


def write_run(folder: Path, tasks: dict[str, list[Sample]], *, rows: dict[str, list[str]] | None = None,
              titles: dict[str, str] | None = None, skipped: dict[str, str] | None = None,
              changes: dict[str, Any] | None = None, ids: dict[str, list[str]] | None = None) -> Path:  # fmt: skip
    """A run folder as ``harness eval`` leaves it; ``rows`` are benchmarks with their tasks."""
    (folder / "samples").mkdir(parents=True)
    requests = []
    for name, samples in tasks.items():
        names = (ids or {}).get(name) or [str(i) for i in range(len(samples))]
        frame = pd.DataFrame(
            {
                "doc_id": names,
                "task": name,
                "prompt_sha256": [_hash(sample) for sample in samples],
                "target": [sample.target for sample in samples],
                "raw": [sample.raw for sample in samples],
                "extracted": [sample.extracted for sample in samples],
                "rule": [sample.rule for sample in samples],
                "unparsed": [sample.unparsed for sample in samples],
                "score": pd.array([sample.score for sample in samples], dtype="Float64").astype("float64"),
                "acc": [sample.score for sample in samples],
                "truncated": [sample.truncated for sample in samples],
            }
        )
        frame.to_parquet(folder / "samples" / f"{name}.parquet", index=False)
        requests += [(sample.prefix, sample.query, json.dumps(sample.options)) for sample in samples]
    pd.DataFrame(list(dict.fromkeys(requests)), columns=["prefix", "query", "options"]).to_parquet(
        folder / "responses.parquet", index=False
    )
    entries = {name: _entry(samples) for name, samples in tasks.items()}
    benchmarks = {
        row: _entry([sample for name in names for sample in tasks[name]])
        | {"title": (titles or {}).get(row, row.upper()), "tasks": names}
        for row, names in (rows or {name: [name] for name in tasks}).items()
    }
    of = {name: row for row, spec in benchmarks.items() for name in spec["tasks"]}
    scores = {
        "benchmarks": benchmarks,
        "tasks": {name: entry | {"benchmark": of[name]} for name, entry in entries.items()},
        "skipped": skipped or {},
    }
    receipt = {
        "status": "complete",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:14:05+00:00",
        "config": {"generation": {}, "data": {}},
        "model": {"model": "some-model", "kind": "base", "dtype": "float32", "fingerprint": "torch:1234"},
        "benchmarks": {row: {"title": spec["title"], "shots": 5, "metric": "acc",
                             "tasks": {task: {} for task in spec["tasks"]},
                             "data": [{"id": "o/d", "config": "c", "sha256": {"test": "0" * 64}}]}
                       for row, spec in benchmarks.items()},
        "totals": {"asked": len(requests), "stored": 0, "prompt_tokens": 71899, "completion_tokens": 1691,
                   "seconds": 451.2, "cost_usd": 0.0},
        "took": {"prompt_tokens": 200, "saved_tokens": 150},
        "versions": {"harness": "0.1.0"},
        "skipped": skipped or {},
        **(changes or {}),
    }  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "receipt.json").write_text(json.dumps(receipt))
    return folder


def _entry(samples: Sequence[Sample]) -> dict[str, Any]:
    known = [sample.score for sample in samples if sample.score is not None]
    n = len(samples)
    value = sum(known) / len(known) if known else 0.0
    return {
        "value": value, "stderr": (value * (1 - value) / n) ** 0.5 if n > 1 else None, "n": n, "of": n, "shots": 5,
        "metric": "acc", "filter": "none", "unit": "share", "form": "generation", "average": "micro", "options": {},
        "complete": True, "sample_data": False, "unparsed": sum(s.unparsed for s in samples) / n if n else 0.0,
        "truncated": sum(s.truncated for s in samples) / n if n else 0.0, "rules": {"last_number": 1.0},
    }  # fmt: skip


def _hash(sample: Sample) -> str:
    text = sample.query if sample.options.get("messages") else f"{sample.prefix}\0{sample.query}"
    return hashlib.sha256(text.encode()).hexdigest()


def usual(folder: Path, *, shift: int = 0, whole: bool = False, **changes: Any) -> Path:
    """Two benchmarks, one of two subjects, with right, wrong, cut and empty answers.

    ``shift`` moves who is right; ``whole`` adds a doc that has no verdict of its own.
    """
    spoken = [
        Sample(float((i + shift) % 3 == 0), f"Step {i}: the answer is {i}.",
               query=f"Question: what is {i} + 0?\nAnswer:", target=str(i), extracted=str(i), truncated=i % 5 == 0)
        for i in range(12)
    ]  # fmt: skip
    spoken.append(Sample(0.0, "I cannot say.", query="Question: who?", extracted="[none]", rule=None, unparsed=True))
    spoken.append(Sample(0.5, "Half of it.", query="Question: partly?"))
    if whole:
        spoken.append(Sample(None, "Whole sets only.", query="Question: open?"))
    chosen = [
        likelihoods([-3.0, -1.0 - (i + shift) % 2, -1.5, -4.0], 1, query=f"Question {i}: which?\nAnswer:")
        for i in range(8)
    ]
    tasks = {"gsm8k_cot": spoken, "mmlu_anatomy": chosen[:4], "mmlu_law": chosen[4:]}
    rows = {"gsm8k": ["gsm8k_cot"], "mmlu": ["mmlu_anatomy", "mmlu_law"]}
    return write_run(folder, tasks, rows=rows, titles={"gsm8k": "GSM8K", "mmlu": "MMLU"}, **changes)
