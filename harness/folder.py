"""The folder of a run: its name, and the files in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends.base import Response
from harness.errors import UserError
from harness.plan import Plan, Score
from harness.prepare import Prepared

if TYPE_CHECKING:
    from harness.score.failures import Failure
    from harness.score.scorer import TaskScores


def run_folder(prepared: Prepared, identity: dict[str, Any]) -> Path:
    """The run's folder, made or resumed.

    Raises:
        UserError: the name is taken by another measurement, or the folder cannot be written.
    """
    config = prepared.config
    name = config.run_name or _default_name(prepared, identity)
    if not re.fullmatch(r"[\w.+=@-]+", name):
        raise UserError(
            f"run.name = {name}, which is no plain folder name.", "Use letters, digits and . _ - + = @ only."
        )
    folder = config.run_dir / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"run.dir = {config.run_dir}, where the run's folder cannot be written ({error.strerror}).",
            "Choose a folder that you can write: run.dir=FOLDER.",
        ) from error
    if (folder / "receipt.json").is_file():
        before = read_receipt(folder).get("identity", {})
        # through JSON, so that tuples and lists compare
        now = json.loads(json.dumps(identity))
        differs = [key for key in now if before.get(key) != now[key]]
        if differs:
            what = {"model": "another model", "plan": "other requests", "benchmarks": "other protocol choices"}
            what["precision"] = "another precision"
            raise UserError(
                f"run.name = {name}, which is a run of {' and '.join(what[key] for key in differs)} already.",
                "Choose another run.name, or delete that run's folder (its responses stay in the store).",
            )
    return folder


def _default_name(prepared: Prepared, identity: dict[str, Any]) -> str:
    config = prepared.config
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    limit = f"-limit{config.settings.limit}" if config.settings.limit else ""
    model = prepared.backend.describe()["model"]
    name = f"{model}-{config.suite}-{config.source.kind}{limit}"
    return re.sub(r"[^\w.+=@-]+", "-", name)[:100] + f"-{digest}"


def read_receipt(folder: Path) -> dict[str, Any]:
    """The run's receipt.

    Raises:
        UserError: there is none.
    """
    file = folder / "receipt.json"
    if not file.is_file():
        raise UserError(f"{folder} is not a run: it has no receipt.json.", "Give a folder below results/runs.")
    data = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def write_responses(folder: Path, plan: Plan, responses: dict[str, Response]) -> None:
    """``responses.parquet``: every distinct request with its response."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.backends.base import to_json
    from harness.score.scorer import valid

    requests = plan.unique()
    options = []
    for request in requests:
        fields = asdict(request)
        options.append(json.dumps({k: v for k, v in fields.items() if k not in ("prefix", "query")}))
    table = pa.table(
        {
            "request": [r.hash for r in requests],
            "kind": ["score" if isinstance(r, Score) else "generate" for r in requests],
            "prefix": pa.array([valid(r.prefix) for r in requests]).dictionary_encode(),
            "query": [valid(r.context if r.messages else r.query) for r in requests],
            "options": options,
            "response": [json.dumps(to_json(responses[r.hash])) for r in requests],
        }
    )
    pq.write_table(table, folder / "responses.parquet", compression="zstd")


def read_responses(folder: Path) -> dict[str, Response]:
    """The responses of a run by request hash.

    Raises:
        UserError: the run has none yet.
    """
    import pyarrow.parquet as pq

    from harness.backends.base import from_json

    file = folder / "responses.parquet"
    if not file.is_file():
        raise UserError(f"{folder} has no responses.parquet yet.", "Finish the run with harness eval.")
    table = pq.read_table(file, columns=["request", "response"])
    pairs = zip(table["request"].to_pylist(), table["response"].to_pylist(), strict=True)
    return {request: from_json(json.loads(response)) for request, response in pairs}


def write_samples(folder: Path, scores: list[TaskScores]) -> None:
    """``samples/<task>.parquet``: one row a doc."""
    target = folder / "samples"
    target.mkdir(exist_ok=True)
    for task in scores:
        task.samples.to_parquet(target / f"{task.task}.parquet", index=False)


def write_failed(folder: Path, failed: Sequence[Failure]) -> None:
    """``failed.parquet``, where there is something to write."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "failed.parquet"
    if failed:
        pq.write_table(pa.Table.from_pylist([asdict(failure) for failure in failed]), file)
    else:
        file.unlink(missing_ok=True)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON file at once, so that no reader meets half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    part.replace(path)
