"""Run folders made of given verdicts, as harness eval would write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass
class Task:
    """One task's samples."""

    scores: Sequence[float | None]
    ids: Sequence[str] | None = None
    raw: Sequence[str] | None = None
    target: Sequence[str] | None = None
    cluster: Sequence[str] | None = None
    prompt: str = "p"
    of: int | None = None
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def docs(self) -> list[str]:
        return list(self.ids) if self.ids is not None else [str(i) for i in range(len(self.scores))]

    def frame(self, name: str) -> pd.DataFrame:
        n = len(self.docs)
        prompts = [f"{self.prompt} {name} {doc}" for doc in self.docs]
        raw = list(self.raw) if self.raw is not None else [f"said {s}" for s in self.scores]
        columns: dict[str, Any] = {
            "doc_id": self.docs,
            "task": name,
            "prompt_sha256": [hashlib.sha256(f"{p}\0?".encode()).hexdigest() for p in prompts],
            "target": list(self.target) if self.target is not None else ["yes"] * n,
            "raw": raw,
            "extracted": raw,
            "score": pd.array(list(self.scores), dtype="Float64").astype("float64"),
        }
        if self.cluster is not None:
            columns["cluster"] = list(self.cluster)
        return pd.DataFrame(columns)


@dataclass
class Row:
    """One benchmark."""

    tasks: Mapping[str, Task]
    average: str = "micro"
    metric: str = "acc"
    changes: dict[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    weights: dict[str, float] | None = None


def write_run(folder: Path, rows: Mapping[str, Row], *, kind: str = "base", **receipt: Any) -> Path:
    """A run folder with these rows."""
    (folder / "samples").mkdir(parents=True)
    benchmarks: dict[str, Any] = {}
    tasks: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    prompts: dict[str, str] = {}
    for name, row in rows.items():
        for task, made in row.tasks.items():
            made.frame(task).to_parquet(folder / "samples" / f"{task}.parquet", index=False)
            prompts |= {f"{made.prompt} {task} {doc}": "?" for doc in made.docs}
            tasks[task] = {"benchmark": name, "metric": row.metric, "filter": "none", "n": len(made.docs)}
        own = row.tasks or {t: v for m in row.members for t, v in rows[m].tasks.items()}
        values = [np.mean([s for s in task.scores if s is not None] or [0.0]) for task in own.values()]
        n = sum(len(task.docs) for task in own.values())
        of = sum(task.of or len(task.docs) for task in own.values())
        benchmarks[name] = {
            "title": row.changes.get("title", name.upper()), "value": float(np.mean(values)), "stderr": 0.01,
            "n": n, "of": of, "tasks": list(own), "shots": 5, "metric": row.metric, "filter": "none", "unit": "share",
            "form": "loglikelihood", "average": row.average, "options": {}, "complete": n == of,
            "sample_data": False, "unparsed": 0.0, "truncated": 0.0, **row.changes,
        }  # fmt: skip
        if row.members:
            benchmarks[name] |= {"members": list(row.members), "metric": "mean of members", "average": "members"}
            del benchmarks[name]["filter"]
        if row.weights:
            benchmarks[name]["weights"] = row.weights
        if row.tasks:
            entries[name] = {
                "shots": benchmarks[name]["shots"], "metric": row.metric, "filter": None, "average": row.average,
                "options": benchmarks[name]["options"], "sample_data": False,
                "tasks": {t: {"docs": len(v.docs), "of": v.of or len(v.docs), "version": 1.0, **v.entry}
                          for t, v in row.tasks.items()},
                "data": [{"id": "o/d", "config": "c", "complete": True, "sha256": {"test": "0" * 64}}],
            }  # fmt: skip
    frame = pd.DataFrame({"prefix": list(prompts), "query": list(prompts.values())})
    frame.to_parquet(folder / "responses.parquet", index=False)
    scores = {"benchmarks": benchmarks, "tasks": tasks, "skipped": receipt.pop("skipped", {})}
    whole = {
        "status": "complete",
        "config": {"generation": {}, "data": {"longest": None}},
        "model": {"model": "m", "kind": kind, "dtype": "float32"},
        "benchmarks": entries,
        **receipt,
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "receipt.json").write_text(json.dumps(whole))
    return folder
