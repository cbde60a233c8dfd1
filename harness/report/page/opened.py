"""Run folders as a page shows them: also those that are not finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.compare.runs import Run, open_runs
from harness.errors import UserError
from harness.report.table import RunScores, read_run


def open_all(folders: Sequence[Path]) -> list[Run]:
    """Runs with names that tell them apart; one without scores yet has no rows.

    Raises:
        UserError: a folder is no run, or is given twice.
    """
    return open_runs(folders, _read)


def _read(folder: Path) -> RunScores:
    receipt = folder / "receipt.json"
    if (folder / "scores.json").is_file() or not receipt.is_file():
        return read_run(folder)
    known = _object(receipt)
    return RunScores(
        folder.resolve().name, known, {"benchmarks": {}, "tasks": {}, "skipped": known.get("skipped") or {}}
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not readable: {error}.", "Finish the run with harness eval.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a receipt.", "Give a folder below results/runs.")
    return found
