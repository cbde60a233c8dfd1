"""Run folders as a comparison needs them: receipt, scores, and of the samples only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.report.table import RunScores, read_run

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Run:
    """A scored run on disk; equal only to itself."""

    folder: Path
    """Its folder."""
    name: str
    """Its name in what is shown."""
    receipt: dict[str, Any]
    """``receipt.json``."""
    scores: dict[str, Any]
    """``scores.json``."""

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The entries of ``scores.json`` that make rows."""
        rows: dict[str, dict[str, Any]] = self.scores["benchmarks"]
        return rows

    def samples(self, task: str, columns: Sequence[str]) -> pa.Table:
        """These columns of a task's samples; those that the file does not have are left out.

        Raises:
            UserError: there is no such file.
        """
        import pyarrow.parquet as pq

        path = self.folder / "samples" / f"{task}.parquet"
        if not path.is_file():
            raise UserError(
                f"{self.folder} has no samples/{task}.parquet.",
                "Score the run again (harness score RUN), or give a whole run folder.",
            )
        file = pq.ParquetFile(path)
        present = [column for column in columns if column in file.schema_arrow.names]
        return file.read(columns=present)


def open_runs(folders: Sequence[Path], read: Callable[[Path], RunScores] = read_run) -> list[Run]:
    """Runs with names that tell them apart; ``read`` reads one folder.

    Raises:
        UserError: a folder is not a scored run, or is given twice.
    """
    found = [read(folder) for folder in folders]
    paths = [folder.resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"{path.name} is given twice.", "A run has nothing to be compared with but other runs.")
    names = [run.name for run in found]
    return [
        Run(
            path, run.name if names.count(run.name) == 1 else f"{path.parent.name}/{path.name}", run.receipt, run.scores
        )
        for path, run in zip(paths, found, strict=True)
    ]


def as_scores(run: Run) -> RunScores:
    """The same for a table."""
    return RunScores(run.name, run.receipt, run.scores)


def tasks_of(run: Run, row: str) -> list[str]:
    """The tasks of a row; those of its members where it is made of members."""
    entry = run.rows[row]
    members = entry.get("members")
    if members:
        return list(dict.fromkeys(task for member in members if member in run.rows for task in tasks_of(run, member)))
    tasks: list[str] = entry["tasks"]
    return tasks


def weights_of(run: Run, row: str, sizes: dict[str, int]) -> dict[str, float]:
    """What each task of a row weighs; ``sizes`` counts the docs that are compared.

    A micro average weighs by these docs; any other by the weights that the run recorded, or all tasks alike.
    """
    entry = run.rows[row]
    members = [member for member in entry.get("members") or () if member in run.rows]
    if not members and entry.get("average") == "micro":
        total = sum(sizes.values()) or 1
        return {task: n / total for task, n in sizes.items()}
    recorded = entry.get("weights")
    if recorded:
        return {task: float(recorded.get(task, 0.0)) for task in sizes}
    if not members:
        return {task: 1 / len(sizes) for task in sizes}
    weights = dict.fromkeys(sizes, 0.0)
    for member in members:
        own = {task: sizes[task] for task in tasks_of(run, member) if task in sizes}
        for task, weight in weights_of(run, member, own).items():
            weights[task] += weight / len(members)
    return weights


def column_of(run: Run, row: str, task: str) -> str:
    """The column of the samples that holds the row's verdicts."""
    entry, own = run.rows[row], run.scores["tasks"][task]
    if entry.get("members") or (entry["metric"], entry["filter"]) == (own["metric"], own["filter"]):
        return "score"
    if entry["filter"] == own["filter"]:
        return str(entry["metric"])
    return f"{entry['metric']},{entry['filter']}"


@dataclass(frozen=True)
class Docs:
    """One task's docs in several runs, in one order."""

    ids: NDArray[np.object_]
    """Doc ids: those of the first run in its order, then what only later ones have."""
    scores: NDArray[np.float64]
    """One row a run; NaN where it has no verdict."""
    asked: NDArray[np.bool_]
    """Whether a run has the doc at all."""
    cluster: NDArray[np.object_] | None
    """What docs share, where the task says so."""
    prompts: list[NDArray[np.object_]] | None
    """Prompt hashes, one array a run, only where some differ from the first run's."""


def join(runs: Sequence[Run], columns: Sequence[str], task: str) -> Docs:
    """A task's verdicts side by side; ``columns`` names each run's column."""
    tables = [
        run.samples(task, ["doc_id", "prompt_sha256", "cluster", column])
        for run, column in zip(runs, columns, strict=True)
    ]
    first = tables[0]
    if all(table["doc_id"].equals(first["doc_id"]) for table in tables[1:]):
        ids = np.asarray(first["doc_id"].to_pylist(), dtype=object)
        places = [np.arange(len(ids))] * len(tables)
    else:
        seen: dict[str, int] = {}
        places = [
            np.fromiter((seen.setdefault(doc, len(seen)) for doc in table["doc_id"].to_pylist()), dtype=np.intp)
            for table in tables
        ]
        ids = np.asarray(list(seen), dtype=object)
    scores = np.full((len(tables), len(ids)), np.nan)
    asked = np.zeros(scores.shape, dtype=bool)
    cluster = None
    for i, (table, place, column) in enumerate(zip(tables, places, columns, strict=True)):
        asked[i, place] = True
        if column in table.column_names:
            scores[i, place] = table[column].cast("float64").to_numpy(zero_copy_only=False)
        if "cluster" in table.column_names:
            cluster = np.full(len(ids), None, dtype=object) if cluster is None else cluster
            cluster[place] = table["cluster"].to_pylist()
    return Docs(ids, scores, asked, cluster, _prompts(tables, places, len(ids)))


def _prompts(
    tables: Sequence[pa.Table], places: Sequence[NDArray[np.intp]], n: int
) -> list[NDArray[np.object_]] | None:
    if any("prompt_sha256" not in table.column_names for table in tables):
        return None
    columns = [table["prompt_sha256"] for table in tables]
    if all(column.equals(columns[0]) for column in columns[1:]):
        return None
    hashes = []
    for column, place in zip(columns, places, strict=True):
        own = np.full(n, None, dtype=object)
        own[place] = column.to_pylist()
        hashes.append(own)
    return hashes
