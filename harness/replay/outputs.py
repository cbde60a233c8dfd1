"""Published outputs: JSON lines named ``<benchmark>__<model>.jsonl.gz``, with the publisher's verdicts.

Fields: ``doc_id, task, prompt, output, extracted, target, correct``, and what a benchmark needs besides. An
``index.json`` in the same folder says where the outputs come from and what was stated of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.backends.base import Generated
from harness.errors import UserError
from harness.replay.foreign import ForeignFile, Sample, digest, lines, replayed

FORMAT = "published outputs"
NEEDED = ("doc_id", "output")
VERDICTS = ("correct", "base", "plus")


def recognises(row: dict[str, Any]) -> bool:
    """Whether a file's first row is of this format."""
    return all(name in row for name in NEEDED)


def read(path: Path) -> ForeignFile:
    """A file of published outputs.

    Raises:
        UserError: it cannot be read, or a row lacks a field.
    """
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    benchmark, _, model = stem.partition("__")
    samples = tuple(_sample(path, number, row) for number, row in enumerate(lines(path), 1))
    return ForeignFile(path, digest(path), FORMAT, benchmark, model or None, samples, _about(path))


def _sample(path: Path, number: int, row: dict[str, Any]) -> Sample:
    for name in NEEDED:
        lost = name == "output" and name in row and row[name] is None
        if not lost and not isinstance(row.get(name), str):
            raise UserError(f"{path}, row {number}: {name} = {row.get(name)!r}, which is no text.", "Mend the row.")
    prompt = str(row.get("prompt") or "")
    part = str(row.get("task") or "")
    return Sample(
        row["doc_id"],
        part,
        prompt,
        (replayed(prompt, f"{part}/{row['doc_id']}"),),
        (Generated(row["output"] or "", "stop", 0, 0),),
        ((0, 0),),
        row,
        {name: float(row[name]) for name in VERDICTS if row.get(name) is not None},
        None if row.get("extracted") is None else str(row["extracted"]),
        _doubt(row),
    )


def _doubt(row: dict[str, Any]) -> str | None:
    """Why a row's published verdict is in doubt, if it is."""
    if row["output"] is None:
        return "no output is there"
    if row.get("boolean_taken_as_number"):
        return "a truth value taken for a number"
    return row.get("environment_suspected") or None


def _about(path: Path) -> dict[str, Any]:
    """The entry of ``index.json`` beside the file, if there is one."""
    index = path.parent / "index.json"
    if not index.is_file():
        return {}
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["files"]
        return next((dict(entry) for entry in entries if entry.get("file") == path.name), {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of published outputs: {error!r}", "Mend or remove it.") from error
