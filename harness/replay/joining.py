"""Foreign samples with the docs of the real data sets: by the question's text, else by id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import MissingError, UserError
from harness.plan.benchmark import Benchmark
from harness.plan.data import Repo, Source
from harness.replay import foreign, programs
from harness.replay.foreign import ForeignFile, Sample
from harness.replay.rows import SAMPLE_OF, Doc, Row
from harness.replay.tasks import real_docs

RELEASE = "evalplus/MbppPlus-v0.1.0.jsonl.gz"


@dataclass(frozen=True)
class Placed:
    """A foreign sample in its place: the task and the doc that it belongs to."""

    sample: Sample
    """The sample."""
    task: str
    """The task's name."""
    doc_id: str
    """The doc's id in the data set."""
    doc: Doc
    """The doc, as the task's scorer reads it."""


def place(
    file: ForeignFile, row: Row, benchmark: Benchmark, root: Path | None
) -> tuple[list[Placed], tuple[Repo, ...]]:
    """Every sample in its place, and the data sets that were read for it.

    Without a mirror the file's own fields make the docs, and so they do where they hold all that judging needs.

    Raises:
        UserError: a field is missing, or a doc is not in the data set.
        MissingError: the mirror does not have the data set.
    """
    complete = benchmark.name == "multipl_e" or "base_input" in file.samples[0].fields
    if file.format == "lm-eval samples" or root is None or complete:
        return [Placed(s, row.task(s), row.doc_id(s), _doc(file, row, s)) for s in file.samples], ()
    if benchmark.name in programs.PYTHON:
        return _with_inputs(file, row, root)
    docs, source = real_docs(benchmark, root)
    by_text: dict[str, list[tuple[str, str]]] = {}
    assert row.question is not None
    for key, doc in docs.items():
        by_text.setdefault(_plain(doc[row.question]), []).append(key)
    placed = [_found(file, row, sample, docs, by_text) for sample in file.samples]
    return placed, tuple(source.read.values())


def _doc(file: ForeignFile, row: Row, sample: Sample) -> Doc:
    try:
        return row.doc(sample)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file.path.name}, doc {sample.doc_id}: a field is missing or wrong: {error}.",
            "Mend the file, or give the data set: --data-root DIR.",
        ) from error


def _found(
    file: ForeignFile,
    row: Row,
    sample: Sample,
    docs: dict[tuple[str, str], Doc],
    by_text: dict[str, list[tuple[str, str]]],
) -> Placed:
    wanted = (row.task(sample), row.doc_id(sample).partition("#")[0])
    assert row.question is not None
    keys = by_text.get(_plain(sample.prompt), []) if sample.prompt else []
    # the same question may be asked twice, or under two tasks: then the id decides, or else the order of the set
    key = wanted if wanted in keys else keys[0] if keys else wanted
    doc = docs.get(key)
    if doc is None or (sample.prompt and _plain(doc[row.question]) not in _plain(sample.prompt)):
        raise UserError(
            f"{file.path.name}, doc {sample.doc_id}: the data set has no such doc.",
            "Give the data set that was asked, or import without --data-root.",
        )
    task, doc_id = key
    _, mark, number = sample.doc_id.partition("#")
    if mark:
        return Placed(sample, task, f"{doc_id}#{number}", {**doc, SAMPLE_OF: doc_id})
    return Placed(sample, task, doc_id, dict(doc))


def _plain(text: Any) -> str:
    return " ".join(str(text).split())


def _with_inputs(file: ForeignFile, row: Row, root: Path) -> tuple[list[Placed], tuple[Repo, ...]]:
    """Programs with the inputs and reference solutions of EvalPlus' release."""
    source = Source("mirror", root)
    released = _mbpp if row.benchmark.startswith("mbpp") else _humaneval
    problems = released(source, root, row)
    placed = []
    for sample in file.samples:
        problem = problems.get(str(sample.fields["doc_id"]))
        if problem is None:
            raise UserError(
                f"{file.path.name}: EvalPlus' data in {root} have no problem {sample.fields['doc_id']}.",
                "Give the release that the programs answer.",
            )
        fields = {**sample.fields, **problem}
        whole = replace(sample, fields=fields, prompt=sample.prompt or str(problem["prompt"]))
        placed.append(Placed(whole, row.task(whole), row.doc_id(whole), row.doc(whole)))
    return placed, tuple(source.read.values())


Problems = dict[str, dict[str, Any]]
Released = Callable[[Source, Path, Row], Problems]


def _humaneval(source: Source, root: Path, row: Row) -> Problems:
    return _by_id(source.load("evalplus/humanevalplus", "raw")["test"])


def _mbpp(source: Source, root: Path, row: Row) -> Problems:
    if row.whole == 399:
        if not (root / RELEASE).is_file():
            raise MissingError(f"data.root = {root} has no file {RELEASE}.", "Download it from EvalPlus' releases.")
        return _by_id(foreign.lines(root / RELEASE))
    return _by_id(source.load("evalplus/mbppplus", "raw")["test"])


def _by_id(rows: Any) -> Problems:
    # an assertion shows what types the inputs have, which JSON lacks
    return {str(r["task_id"]): {**r, "tests": r.get("assertion") or r.get("test") or ""} for r in map(dict, rows)}
