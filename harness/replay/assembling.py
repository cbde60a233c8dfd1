"""From placed samples to a plan with its responses, and from a run folder back to the same plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends.base import Response
from harness.config import Config, check, compose, specs_of, to_plain
from harness.errors import UserError
from harness.plan import Generate, Plan, Request, Score
from harness.plan.benchmark import Benchmark
from harness.plan.data import Repo
from harness.plan.planner import BenchmarkPlan, DocPlan
from harness.plan.request import Sampling
from harness.replay import programs
from harness.replay.foreign import ForeignFile, Replayed
from harness.replay.joining import Placed
from harness.replay.rows import Row
from harness.replay.tasks import build

if TYPE_CHECKING:
    import pandas as pd

DOCS = "docs.parquet"


@dataclass(frozen=True)
class Part:
    """One benchmark of a run to come."""

    file: ForeignFile
    """Where its samples come from."""
    row: Row
    """How they are scored."""


@dataclass(frozen=True)
class Wanted:
    """What the user asked of an import."""

    name: str
    """The run's name."""
    model: str
    """The model that wrote the answers."""
    data_root: Path | None
    """A mirror of data sets, or None for docs made of the files' own fields."""
    overrides: tuple[str, ...]
    """Protocol choices."""


def configured(parts: Sequence[Part], wanted: Wanted, choices: Iterable[str]) -> Config:
    """The configuration of the run: the benchmarks' rows with these protocol choices, and then the user's; and the rows
    made of members whose members are all there.

    Raises:
        UserError: an unknown key or value.
    """
    names = [part.row.benchmark for part in parts]
    own = {name: spec for name in names if (spec := programs.spec(name)) is not None}
    rest = []
    for override in [*choices, *wanted.overrides]:
        key, _, value = override.partition("=")
        benchmark, _, option = key.partition(".")
        if benchmark in own and option in own[benchmark]:
            own[benchmark][option] = value
        else:
            rest.append(override)
    plain = to_plain(compose(["backend=replay", *rest]))
    specs = {**specs_of(plain), **own}
    made_of = [key for key, spec in specs.items() if spec.get("members") and {*spec["members"]} <= {*names}]
    sha256 = hashlib.sha256("".join(sorted({part.file.sha256 for part in parts})).encode()).hexdigest()
    kind = next((kind for part in parts if (kind := _kind(part.file))), None)
    plain["backend"] = {**plain["backend"], "model": wanted.model, "model_kind": kind, "sha256": sha256}
    plain["run"] = {**plain["run"], "name": wanted.name}
    plain["shots"] = {**plain["shots"], **{p.row.benchmark: n for p in parts if (n := _shots(p.file)) is not None}}
    if wanted.data_root is not None:
        plain["data"] = {**plain["data"], "kind": "mirror", "root": str(wanted.data_root)}
    return check({**plain, "benchmarks": [*names, *made_of], "benchmark": specs})


def _kind(file: ForeignFile) -> str | None:
    said = str(file.about.get("model_kind") or "")
    return next((kind for kind in ("base", "instruct") if said.startswith(kind)), None)


def _shots(file: ForeignFile) -> int | None:
    shots = file.about.get("protocol", {}).get("shots")
    return shots if isinstance(shots, int) else None


def assemble(
    parts: Sequence[Part], config: Config, placed: Sequence[tuple[list[Placed], tuple[Repo, ...]]]
) -> tuple[Plan, dict[str, Response]]:
    """The plan that the files answer, and their answers.

    Raises:
        UserError: two samples of a file are the same doc.
    """
    plans = []
    responses: dict[str, Response] = {}
    for part, benchmark, (samples, repos) in zip(parts, config.benchmarks, placed, strict=True):
        docs: dict[str, list[DocPlan]] = {}
        seen: set[tuple[str, str]] = set()
        for each in samples:
            if (each.task, each.doc_id) in seen:
                raise UserError(
                    f"{part.file.path.name}: doc {each.doc_id} of {each.task} is there twice.",
                    "Several samples of a doc have ids such as 7#0 and 7#1.",
                )
            seen.add((each.task, each.doc_id))
            asked = tuple(_named(request, benchmark, each) for request in each.sample.asked)
            sha256 = hashlib.sha256(each.sample.prompt.encode("utf-8", "surrogatepass")).hexdigest()
            docs.setdefault(each.task, []).append(DocPlan(each.doc_id, each.doc, asked, each.sample.slots, sha256))
            responses |= {request.hash: answer for request, answer in zip(asked, each.sample.answers, strict=True)}
        plans.append(_planned(benchmark, docs, repos, part.row.whole))
    return Plan(tuple(plans), {}, config.composites), responses


def _named(request: Request, benchmark: Benchmark, placed: Placed) -> Request:
    """A text belongs to its benchmark, task and doc as well as to its sample."""
    if not isinstance(request, Replayed):
        return request
    name = "/".join([benchmark.name, placed.task, placed.doc_id, request.sample])
    return Replayed(**{**asdict(request), "sampling": request.sampling, "sample": name})


def _planned(
    benchmark: Benchmark, docs: Mapping[str, Sequence[DocPlan]], repos: tuple[Repo, ...], whole: int | None
) -> BenchmarkPlan:
    there = sum(map(len, docs.values()))
    missing = max((whole or there) - there, 0)
    # of one task the size is known; of several, only how many docs of them all are missing
    available = {task: len(found) + (missing if len(docs) == 1 else 0) for task, found in docs.items()}
    absent = (f"{missing:,} docs that the files do not hold",) if missing and len(docs) > 1 else ()
    shots = benchmark.shots or 0
    tasks = tuple(build(benchmark, task, found, shots, available[task]) for task, found in docs.items())
    return BenchmarkPlan(benchmark, tasks, repos, absent)


def write_docs(folder: Path, plan: Plan) -> None:
    """``docs.parquet``: every doc with its requests, so that the run can be scored with no data set."""
    import pandas as pd

    from harness.score.scorer import valid

    rows = [
        {
            "benchmark": bench.benchmark.name,
            "task": task.name,
            "doc_id": doc.doc_id,
            "prompt_sha256": doc.prompt_sha256,
            "available": task.available,
            "requests": [request.hash for request in doc.requests],
            "slots": json.dumps(doc.slots),
            "doc": valid(json.dumps(doc.doc, ensure_ascii=False, default=str)),
        }
        for bench in plan.benchmarks
        for task in bench.tasks
        for doc in task.docs
    ]
    pd.DataFrame(rows).to_parquet(folder / DOCS, index=False, compression="zstd")


def read_plan(folder: Path, config: Config, receipt: dict[str, Any]) -> Plan:
    """The plan of an imported run.

    Raises:
        UserError: the folder is not complete.
    """
    import pandas as pd

    if not (folder / DOCS).is_file():
        raise UserError(f"{folder} has no {DOCS}.", "Import the files again.")
    frame = pd.read_parquet(folder / DOCS)
    requests = _requests(folder)
    plans = []
    for benchmark in config.benchmarks:
        own = frame[frame["benchmark"] == benchmark.name]
        tasks = []
        entry = receipt["benchmarks"][benchmark.name]
        for name, rows in own.groupby("task", sort=False):
            docs = [_doc(row, requests) for row in rows.to_dict("records")]
            tasks.append(build(benchmark, str(name), docs, entry["shots"], int(rows["available"].iloc[0])))
        repos = tuple(Repo(**repo) for repo in entry["data"])
        plans.append(BenchmarkPlan(benchmark, tuple(tasks), repos, tuple(entry["absent"])))
    return Plan(tuple(plans), receipt["skipped"], config.composites)


def _doc(row: Mapping[Any, Any], requests: Mapping[str, Request]) -> DocPlan:
    slots = tuple((int(request), int(part)) for request, part in json.loads(row["slots"]))
    asked = tuple(requests[key] for key in row["requests"])
    return DocPlan(row["doc_id"], json.loads(row["doc"]), asked, slots, row["prompt_sha256"])


def _requests(folder: Path) -> dict[str, Request]:
    """The requests of ``responses.parquet`` by their hashes there."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "responses.parquet", columns=["request", "prefix", "query", "options"])
    return {row["request"]: _request(row) for row in table.to_pylist()}


def _request(row: Mapping[str, Any]) -> Request:
    options = json.loads(row["options"])
    if "continuations" in options:
        return Score(row["prefix"], row["query"], tuple(options["continuations"]))
    options |= {"stop": tuple(options["stop"]), "sampling": Sampling(**options["sampling"])}
    return (Replayed if "sample" in options else Generate)(row["prefix"], row["query"], **options)


def published(
    parts: Sequence[Part], config: Config, placed: Sequence[tuple[list[Placed], tuple[Repo, ...]]]
) -> pd.DataFrame:
    """What the publishers said of each sample: the contents of ``published.parquet``."""
    import pandas as pd

    from harness.score.scorer import valid

    rows = []
    for part, benchmark, (samples, _) in zip(parts, config.benchmarks, placed, strict=True):
        for each in samples:
            key = part.row.verdict or _metric(benchmark, each.sample.verdicts)
            extracted = each.sample.extracted
            if part.file.format == "lm-eval samples":
                extracted = each.sample.fields["taken"].get(key.partition(",")[2])
            rows.append(
                {
                    "benchmark": benchmark.name,
                    "task": each.task,
                    "doc_id": each.doc_id,
                    "part": each.sample.part or each.task,
                    "verdict": each.sample.verdicts.get(key),
                    "extracted": None if extracted is None else valid(extracted),
                    "flag": each.sample.flag or part.row.doubt(each.sample),
                }
            )
    frame = pd.DataFrame(rows)
    return frame.astype({"verdict": "float64"})


def _metric(benchmark: Benchmark, verdicts: Mapping[str, float]) -> str:
    """The published metric that is nearest to the row's own: the same with the same filter, or with another."""
    own = f"{benchmark.metric},{benchmark.filter}"
    if own in verdicts:
        return own
    alike = [key for key in verdicts if benchmark.metric in (None, key.partition(",")[0])]
    return alike[0] if alike else next(iter(verdicts), "")
