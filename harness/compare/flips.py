"""Docs that two runs answer differently: prompt, target, and both answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.compare.rows import RowData
from harness.compare.runs import Run


@dataclass(frozen=True)
class Flip:
    """One doc on which one run scores higher than the other."""

    row: str
    """The row's title."""
    task: str
    """The doc's task."""
    doc_id: str
    """Its id."""
    won: bool
    """Whether the second run scores higher."""
    prompt: str | None
    """What was asked; None where the responses are not there or the prompt was several texts."""
    target: str
    """The right answer."""
    first: str
    """What the baseline said."""
    second: str
    """What the other run said."""
    taken: tuple[str, str]
    """What was taken from each."""


def flips(first: Run, second: Run, data: RowData, most: int) -> list[Flip]:
    """At most so many docs in each direction, in the order of the docs."""
    a, b = data.runs.index(first), data.runs.index(second)
    with np.errstate(invalid="ignore"):
        moved = data.scores[b] - data.scores[a]
        chosen = [np.flatnonzero(side)[:most] for side in (moved < 0, moved > 0)]
    places = np.concatenate(chosen)
    found = []
    prompts = _Prompts(first)
    for task in np.unique(data.task[places]):
        name = data.tasks[task]
        own = places[data.task[places] == task]
        ids = [str(doc) for doc in data.ids[own]]
        ours, theirs = (_texts(run, name, ids) for run in (first, second))
        for place, doc in zip(own, ids, strict=True):
            x, y = ours[doc], theirs[doc]
            found.append(
                Flip(
                    data.title,
                    name,
                    doc,
                    bool(moved[place] > 0),
                    prompts.find(x.get("prompt_sha256")),
                    str(x["target"]),
                    str(x["raw"]),
                    str(y["raw"]),
                    (str(x["extracted"]), str(y["extracted"])),
                )
            )
    return sorted(found, key=lambda flip: flip.won)


def _texts(run: Run, task: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The samples of these docs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = run.samples(task, ["doc_id", "prompt_sha256", "target", "raw", "extracted"])
    kept = table.filter(pc.is_in(table["doc_id"], value_set=pa.array(ids, table.schema.field("doc_id").type)))
    return {str(row["doc_id"]): row for row in kept.to_pylist()}


class _Prompts:
    """A run's prompts by hash, read when the first is asked for."""

    def __init__(self, run: Run) -> None:
        self._path = run.folder / "responses.parquet"
        self._known: dict[str, str] | None = None

    def find(self, sha256: str | None) -> str | None:
        if self._known is None:
            self._known = dict(self._read()) if self._path.is_file() else {}
        return self._known.get(sha256 or "")

    def _read(self) -> Iterator[tuple[str, str]]:
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(self._path).iter_batches(columns=["prefix", "query"]):
            for prefix, query in zip(batch["prefix"].to_pylist(), batch["query"].to_pylist(), strict=True):
                # the hash of a prompt of one text (see harness.plan.prompt.Prompt)
                yield hashlib.sha256(f"{prefix}\0{query}".encode("utf-8", "surrogatepass")).hexdigest(), prefix + query
