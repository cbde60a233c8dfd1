"""A row's docs in several runs, joined by task and doc id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.compare.runs import Docs, Run, column_of, join, tasks_of

NOTHING = (None, "", "None")  # a doc that shares nothing


@dataclass(frozen=True)
class RowData:
    """One row's docs in all runs."""

    title: str
    """The row's title."""
    unit: float
    """100 for shares, 1 for metrics in points."""
    tasks: tuple[str, ...]
    """Its tasks."""
    task: NDArray[np.intp]
    """Each doc's task."""
    ids: NDArray[np.object_]
    """Each doc's id."""
    groups: NDArray[np.intp]
    """Each doc's unit: a passage, a problem, or the doc alone."""
    scores: NDArray[np.float64]
    """One row a run; NaN without a verdict."""
    asked: NDArray[np.bool_]
    """Which run has which doc."""
    prompts: dict[int, list[NDArray[np.object_]]]
    """By task, where prompts differ: hashes of each run."""
    runs: tuple[Run, ...]
    """The runs that have the row."""


def read_row(runs: Sequence[Run], row: str) -> RowData:
    """A row's docs in all runs that have it."""
    having = tuple(run for run in runs if row in run.rows)
    tasks = list(dict.fromkeys(task for run in having for task in tasks_of(run, row)))
    parts: list[Docs] = []
    for task in tasks:
        able = [i for i, run in enumerate(having) if task in run.scores["tasks"]]
        docs = join([having[i] for i in able], [column_of(having[i], row, task) for i in able], task)
        scores = np.full((len(having), len(docs.ids)), np.nan)
        asked = np.zeros(scores.shape, dtype=bool)
        scores[able], asked[able] = docs.scores, docs.asked
        prompts = None
        if docs.prompts is not None:
            empty = np.full(len(docs.ids), None, dtype=object)
            prompts = [docs.prompts[able.index(i)] if i in able else empty for i in range(len(having))]
        parts.append(Docs(docs.ids, scores, asked, docs.cluster, prompts))
    entry = having[0].rows[row]
    return RowData(
        str(entry["title"]),
        100.0 if entry["unit"] == "share" else 1.0,
        tuple(tasks),
        np.repeat(np.arange(len(tasks)), [len(part.ids) for part in parts]),
        np.concatenate([part.ids for part in parts]),
        _groups(tasks, parts),
        np.concatenate([part.scores for part in parts], axis=1),
        np.concatenate([part.asked for part in parts], axis=1),
        {i: part.prompts for i, part in enumerate(parts) if part.prompts is not None},
        having,
    )


def _groups(tasks: Sequence[str], parts: Sequence[Docs]) -> NDArray[np.intp]:
    """Units of docs. A cluster's label means the same passage in every task of a row; so does an id that is a name.

    Row numbers mean nothing outside their own task.
    """
    if len(parts) == 1 and parts[0].cluster is None:
        return np.arange(len(parts[0].ids), dtype=np.intp)
    codes: dict[tuple[str, str], int] = {}
    found = []
    for task, part in zip(tasks, parts, strict=True):
        labels = part.cluster if part.cluster is not None else np.full(len(part.ids), None, dtype=object)
        for doc, label in zip(part.ids, labels, strict=True):
            key = ("cluster", label) if label not in NOTHING else (task if doc.isdigit() else "", doc)
            found.append(codes.setdefault(key, len(codes)))
    return np.asarray(found, dtype=np.intp)
