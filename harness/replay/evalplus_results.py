"""EvalPlus' own files: ``*_eval_results.json`` with verdicts, and samples as JSON lines without them.

Either holds whole programs by problem; a sample may hold a ``completion`` instead, which follows the problem's prompt.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.backends.base import Generated
from harness.errors import UserError
from harness.replay.foreign import ForeignFile, Sample, digest, lines, replayed

FORMAT = "EvalPlus"


def recognises(row: dict[str, Any]) -> bool:
    """Whether a file's first row is of this format."""
    return "eval" in row or ("task_id" in row and ("solution" in row or "completion" in row))


def read(path: Path) -> ForeignFile:
    """A file of results, or of samples.

    Raises:
        UserError: it cannot be read, or holds no programs.
    """
    about: dict[str, Any] = {}
    if path.suffix == ".json":
        data = json.loads(path.read_text(encoding="utf-8"))
        about = {"evaluated_on": data.get("date"), "dataset_hash": data.get("hash")}
        if not isinstance(data["eval"], dict):
            raise UserError(f"{path}: eval is no object of problems.", "Give EvalPlus' own *_eval_results.json.")
        runs = [run for found in data["eval"].values() for run in _runs(path, found)]
    else:
        runs = list(lines(path))
    samples = tuple(_samples(path, runs))
    kinds = {sample.doc_id.split("/")[0] for sample in samples}
    names = {"HumanEval": "evalplus_humaneval", "Mbpp": "evalplus_mbpp"}
    if len(kinds) != 1 or not kinds <= set(names):
        raise UserError(
            f"{path} holds problems of {', '.join(sorted(kinds)) or 'nothing'}.",
            "Give one file of HumanEval or of MBPP, with ids such as HumanEval/0 or Mbpp/2.",
        )
    return ForeignFile(path, digest(path), FORMAT, names[kinds.pop()], None, samples, about)


def _runs(path: Path, found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list):
        raise UserError(f"{path} is of an early EvalPlus and holds no programs.", "Import its samples file instead.")
    return found


def _samples(path: Path, runs: Iterable[dict[str, Any]]) -> Iterable[Sample]:
    seen: Counter[str] = Counter()
    for run in runs:
        text = run.get("solution", run.get("completion")) if isinstance(run, dict) else None
        if not isinstance(text, str) or not isinstance(run.get("task_id"), str):
            raise UserError(f"{path}: a sample lacks its task_id or its program.", "Give EvalPlus' own files.")
        task, number = run["task_id"], seen[run["task_id"]]
        seen[task] += 1
        verdicts = {}
        if run.get("base_status"):
            verdicts["base"] = float(run["base_status"] == "pass")
        if run.get("plus_status"):
            # what EvalPlus reports as plus: base and plus tests both pass
            verdicts["plus"] = float(run.get("base_status") == run["plus_status"] == "pass")
        yield Sample(
            task if number == 0 else f"{task}#{number}",
            "",
            "",
            (replayed("", f"{task}#{number}"),),
            (Generated(text, "stop", 0, 0),),
            ((0, 0),),
            {"doc_id": task, "whole": "solution" in run},
            verdicts,
        )
