"""From foreign files to a run: a folder like any other, that can be scored, shown and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.backends import make_backend
from harness.backends.base import Response
from harness.config import Config, check
from harness.errors import UserError
from harness.folder import run_folder, write_json, write_responses
from harness.plan import Plan
from harness.prepare import Prepared, quiet_libraries
from harness.receipt import identify, make_receipt
from harness.replay import evalplus_results
from harness.replay.assembling import Part, Wanted, assemble, configured, published, read_plan, write_docs
from harness.replay.foreign import ForeignFile
from harness.replay.joining import place
from harness.replay.reading import read
from harness.replay.rows import Row, rows_of
from harness.replay.variants import choose
from harness.run import write_scores

PUBLISHED = "published.parquet"


def import_files(
    paths: Sequence[Path],
    name: str,
    *,
    data_root: Path | None = None,
    benchmark: str | None = None,
    model: str | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Make a run of foreign files, score it, and return its folder.

    Args:
        paths: files of one model, each of another benchmark.
        name: the run's name.
        data_root: a mirror whose docs are joined; None makes docs of the files' own fields.
        benchmark: what the file is scored as, instead of what its name says.
        model: the model's name, instead of what the files' names say.
        overrides: protocol choices, as for ``harness eval``.

    Raises:
        UserError: a file cannot be read or scored, two files hold one benchmark, or the name is taken.
    """
    quiet_libraries()
    files = [read(path) for path in paths]
    parts = [Part(file, row) for file in files for row in _scorable(file, benchmark, data_root)]
    names = [part.row.benchmark for part in parts]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise UserError(f"two files hold outputs of {twice}.", "Make a run of each.")
    wanted = Wanted(name, _model(files, model), data_root, tuple(overrides))
    choices = [choice for part in parts for choice in part.row.authors]
    config = configured(parts, wanted, choices)
    placed = [place(p.file, p.row, b, data_root) for p, b in zip(parts, config.benchmarks, strict=True)]
    verdicts = published(parts, config, placed)

    def rival(choice: str) -> Config:
        return configured(parts, wanted, [*choices, *choice.split()])

    def planned(config: Config) -> tuple[Plan, Mapping[str, Response]]:
        return assemble(parts, config, placed)

    found = [choose(p.row.benchmark, _rivals(p.row, overrides), verdicts, rival, planned) for p in parts]
    rules = [rule for rule in found if rule is not None]
    choices += [choice for rule in rules for choice in rule.chosen.split()]
    config = configured(parts, wanted, choices)
    plan, responses = assemble(parts, config, placed)
    prepared = Prepared(config, make_backend(config.backend_kind, config.backend), plan)
    identity = identify(prepared)
    folder = run_folder(prepared, identity)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = make_receipt(prepared, identity) | {
        "status": "complete",
        "started": now,
        "finished": now,
        "imported": {
            "files": [_origin(file) for file in files],
            "docs": "joined with the data sets" if data_root else "made of the files' own fields",
            "from": {part.row.benchmark: part.file.path.name for part in parts},
            "comparison": [part.row.benchmark for part in parts if part.row.comparison],
            "rules": [rule.entry() for rule in rules],
        },
    }
    write_responses(folder, plan, responses)
    write_docs(folder, plan)
    verdicts.to_parquet(folder / PUBLISHED, index=False)
    write_json(folder / "receipt.json", receipt)
    write_scores(folder, prepared, responses, receipt)
    return folder


def prepared_again(folder: Path, receipt: dict[str, Any]) -> Prepared:
    """What an imported run's scoring needs: its own docs, and no data set.

    Raises:
        UserError: the folder is not complete.
    """
    config = check(receipt["config"])
    return Prepared(config, make_backend(config.backend_kind, config.backend), read_plan(folder, config, receipt))


def _scorable(file: ForeignFile, benchmark: str | None, data_root: Path | None) -> list[Row]:
    """The file's rows for which it, or the data set, brings what judging needs."""
    if not file.samples:
        raise UserError(f"{file.path} holds no samples.", "Give a file with at least one.")
    rows = rows_of(file, benchmark)
    fields = file.samples[0].fields
    if data_root is not None or len(rows) == 1 or "base_input" in fields:
        return list(rows)
    if file.format == evalplus_results.FORMAT or not fields.get("tests"):
        raise UserError(
            f"{file.path.name} holds programs and no tests.",
            "Give EvalPlus' data sets: --data-root DIR, a folder with evalplus/humanevalplus and evalplus/mbppplus.",
        )
    return list(rows[:1])


def _rivals(row: Row, overrides: Sequence[str]) -> tuple[str, ...]:
    """The variants to choose from, unless the user chose."""
    keys = {override.partition("=")[0] for override in overrides}
    theirs = {choice.partition("=")[0] for rival in row.rivals for choice in rival.split()}
    return () if keys & theirs else row.rivals


def _model(files: Sequence[ForeignFile], model: str | None) -> str:
    names = dict.fromkeys(file.about.get("model") or file.model for file in files)
    known = [str(name) for name in names if name]
    if model is None and len(known) > 1:
        raise UserError(f"the files are of {' and '.join(known)}.", "A run is of one model: name it with --model.")
    return model or (known[0] if known else "unknown")


def _origin(file: ForeignFile) -> dict[str, Any]:
    about = {key: value for key, value in file.about.items() if key not in ("file", "bytes")}
    return {"file": file.path.name, "sha256": file.sha256, "format": file.format, "published": about}
