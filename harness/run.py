"""A run: one model on one suite, in a folder that is complete in itself."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends import make_backend
from harness.backends.base import Backend, Capabilities, Remote, Response
from harness.config import Config, check
from harness.errors import BackendError, BudgetError, MissingError, UserError
from harness.plan import Generate, Plan, Score, make_plan
from harness.plan.lettered import bare
from harness.plan.planner import BenchmarkPlan, Settings
from harness.score.execution import choose_sandbox, toolchains

if TYPE_CHECKING:
    from harness.collect import Budget, Collected, Store
    from harness.score.failures import Failure
    from harness.score.scorer import TaskScores


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the model is loaded."""

    config: Config
    """The checked configuration."""
    backend: Backend
    """Checked, not loaded."""
    plan: Plan
    """What will be asked."""


def prepare(config: Config, budget: Budget | None = None) -> Prepared:
    """Check the backend and plan the suite.

    Args:
        config: checked.
        budget: pays for asking a server what it can do; without one, nothing is asked, and the plan takes the server to
            be able.

    Raises:
        UserError: anything that the user must mend first.
        BackendError: the server cannot be asked.
    """
    quiet_libraries()
    backend = make_backend(config.backend_kind, config.backend)
    backend.check()
    certain = True
    if isinstance(backend, Remote):
        certain = budget is not None
        if budget is not None:
            backend.probe(budget)
    able = backend.capabilities
    settings = _settings(config, able)
    plan = make_plan(config.benchmarks, config.source, settings, strict=config.strict, named=config.named)
    kept, skipped = [], dict(plan.skipped)
    for bench in plan.benchmarks:
        reason = (_unable(bench, able, bool(settings.chat)) if certain else None) or _lacking(bench)
        if reason is None:
            kept.append(bench)
        elif config.named or config.strict:
            raise MissingError(f"{bench.benchmark.name}: {reason}", "Mend that, or leave the benchmark out.")
        else:
            skipped[bench.benchmark.name] = reason
    for row in config.composites:
        lacking = [name for name in row.members if name in skipped]
        if lacking:
            skipped[row.name] = f"it is a mean of {', '.join(row.members)}, and {', '.join(lacking)} cannot run"
    return Prepared(replace(config, settings=settings), backend, Plan(tuple(kept), skipped, config.composites))


def _settings(config: Config, able: Capabilities) -> Settings:
    """What the plan depends on, with what was left to the backend filled in.

    Raises:
        UserError: plain prompts for a backend that only has conversations.
    """
    chat, form = config.settings.chat, config.settings.form
    if chat is None:
        chat = not able.plain
    elif not chat and not able.plain:
        raise UserError(
            "prompt.chat = false, but this backend takes part in conversations only.",
            "Set prompt.chat to true or null.",
        )
    if form == "auto" and not (able.loglikelihood and (able.loglikelihood_in_chat or not chat)):
        form = "letters" if (able.letters_in_chat if chat else able.letters) else "generation"
    return replace(config.settings, form=form, chat=chat, continues=able.continues)


def _unable(bench: BenchmarkPlan, able: Capabilities, chat: bool) -> str | None:
    """Why a benchmark cannot be answered here, if it cannot."""
    whole = able.loglikelihood and (able.loglikelihood_in_chat or not chat)
    letters = able.letters_in_chat if chat else able.letters
    for request in bench.requests:
        if isinstance(request, Score) and not whole:
            if not (letters and all(re.fullmatch(r"[A-Z]", bare(text)) for text in request.continuations)):
                return (
                    "it needs log-likelihoods of given answers, which this backend does not return: "
                    "set prompt.form=auto"
                )
        elif isinstance(request, Generate):
            if not able.generation:
                return "it needs generated text, which this backend does not return"
            if request.response_format is not None and not able.formats:
                return "this backend cannot keep to generation.response_format: set it to null"
    return None


def _lacking(bench: BenchmarkPlan) -> str | None:
    """Why a benchmark cannot be judged here, if it cannot."""
    try:
        toolchains.require(bench.languages)
    except UserError as error:
        return f"{error.problem} {error.remedy}"
    return None


def _execution(prepared: Prepared) -> dict[str, Any]:
    """For the receipt: how programs are run, if any benchmark runs some."""
    languages = {language for bench in prepared.plan.benchmarks for language in bench.languages}
    if not languages:
        return {}
    return {"sandbox": choose_sandbox(prepared.config.sandbox), "toolchains": toolchains.require(languages)}


def evaluate(config: Config) -> Path:
    """Plan, collect, score and write a run; resumes an interrupted one of the same name. Returns its folder.

    Raises:
        UserError: anything that the user must mend, before the model is loaded.
        BackendError: the backend failed for good; what it answered is kept.
    """
    from harness.collect import Budget, Store

    with Store(config.run_dir / "store.sqlite") as store:
        account = _account(config)
        budget = Budget(config.budget, store.spent(account), functools.partial(store.note_spent, account))
        try:
            return _evaluate(config, store, budget)
        finally:
            budget.close()


def _account(config: Config) -> str:
    """Names a run before anything is known of its server: all of its configuration but the budget itself."""
    chosen = {key: value for key, value in config.resolved.items() if key not in ("budget", "estimate", "table")}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()


def _evaluate(config: Config, store: Store, budget: Budget) -> Path:
    from harness.collect import collect

    prepared = prepare(config, budget)
    for name, reason in prepared.plan.skipped.items():
        print(f"{name} does not run: {reason}", file=sys.stderr)
    if not prepared.plan.benchmarks:
        raise UserError(f"suite = {config.suite}: none of its benchmarks can run.", "See the lines above.")
    identity = identify(prepared)
    folder = run_folder(prepared, identity)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = make_receipt(prepared, identity) | {"status": "running", "started": started}
    write_json(folder / "receipt.json", receipt)
    print(f"run {folder.name}: {_count(prepared.plan)}", file=sys.stderr)
    plan = prepared.plan
    _say_price(prepared, budget)
    try:
        if config.precision is None:
            collected = collect(plan.unique(), prepared.backend, store, budget)
        else:
            plan, collected, more = _ask_enough(prepared, store, budget)
            receipt |= more
    except (BackendError, BudgetError) as error:
        took = {"took": prepared.backend.took(), "charged_usd": budget.charged}
        write_json(folder / "receipt.json", receipt | took | {"status": "stopped", "reason": str(error)})
        raise
    write_responses(folder, plan, collected.responses)
    receipt |= {"totals": asdict(collected.totals), "took": prepared.backend.took(), "charged_usd": budget.charged}
    write_scores(folder, prepared, collected.responses, receipt)
    receipt |= {"status": "complete", "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(folder / "receipt.json", receipt)
    return folder


def _say_price(prepared: Prepared, budget: Budget) -> None:
    """The most that the run can cost, before it begins."""
    from harness.estimate import most_usd

    usd = most_usd(prepared.plan, prepared.backend)
    if not usd:
        return
    limit = "" if budget.limit is None else f", and budget.usd is ${budget.limit:g}"
    spent = (
        f", of which ${budget.charged:.4f} may be spent already" if budget.limit is not None and budget.charged else ""
    )
    print(f"these requests cost at most about ${usd:,.2f}{limit}{spent}", file=sys.stderr)


def _ask_enough(prepared: Prepared, store: Store, budget: Budget) -> tuple[Plan, Collected, dict[str, Any]]:
    """The docs that the wanted precision needs, their responses, and what the receipt says of them."""
    from harness.precision import ask_enough
    from harness.receipt import benchmark_entry

    config = prepared.config
    assert config.precision is not None
    with _executing(config):
        enough = ask_enough(prepared.plan, config.precision, config.settings.seed, prepared.backend, store, budget)
    entries = {b.benchmark.name: benchmark_entry(b) for b in enough.plan.benchmarks}
    return enough.plan, enough.collected, {"benchmarks": entries, "precision": enough.stopped}


def _executing(config: Config) -> AbstractContextManager[None]:
    from harness.score.programs import Execution, executing

    return executing(Execution(config.sandbox, config.workers, config.run_dir / "executions.sqlite"))


def rescore(folder: Path) -> None:
    """Score a run's stored responses again, with no model.

    Raises:
        UserError: it is no run, or its data sets are not there any more.
    """
    quiet_libraries()
    receipt = read_receipt(folder)
    prepared = _prepared_again(folder, receipt)
    responses = read_responses(folder)
    write_scores(folder, prepared, responses, receipt)
    receipt |= {"rescored": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(folder / "receipt.json", receipt)


def _prepared_again(folder: Path, receipt: dict[str, Any]) -> Prepared:
    """What a run's scoring needs, without its model."""
    if "imported" in receipt:
        from harness.replay.importing import prepared_again

        return prepared_again(folder, receipt)
    config = check(receipt["config"])
    # the form that the backend of the run could answer
    asked = receipt["prompt"]
    settings = replace(config.settings, form=asked["form"], chat=asked["chat"], continues=asked["continues_assistant"])
    plan = make_plan(config.benchmarks, config.source, settings, strict=False, named=False)
    kept = tuple(b for b in plan.benchmarks if b.benchmark.name in receipt["benchmarks"])
    gone = [name for name in receipt["benchmarks"] if name not in {b.benchmark.name for b in kept}]
    if gone:
        raise UserError(f"{folder.name}: {gone[0]}: {plan.skipped[gone[0]]}", "Scoring needs the docs that were asked.")
    return Prepared(
        config, make_backend(config.backend_kind, config.backend), Plan(kept, receipt["skipped"], config.composites)
    )


def quiet_libraries() -> None:
    """No progress bars but our own; tqdm reads this when it is first imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")


def _count(plan: Plan) -> str:
    docs = sum(len(task.docs) for bench in plan.benchmarks for task in bench.tasks)
    return f"{len(plan.benchmarks)} benchmarks, {docs:,} docs, {len(plan.unique()):,} requests"


def identify(prepared: Prepared) -> dict[str, Any]:
    """What makes two runs the same measurement."""
    wanted = prepared.config.precision
    return {
        "model": prepared.backend.fingerprint(),
        "plan": prepared.plan.sha256,
        "benchmarks": {
            **{b.benchmark.name: asdict(b.benchmark) for b in prepared.plan.benchmarks},
            **{row.name: asdict(row) for row in prepared.plan.composites},
        },
        **({} if wanted is None else {"precision": wanted.described}),
    }


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


def make_receipt(prepared: Prepared, identity: dict[str, Any]) -> dict[str, Any]:
    """What exactly is measured."""
    from harness.receipt import benchmark_entry, versions

    backend = prepared.backend
    return {
        "identity": identity,
        "config": prepared.config.resolved,
        "model": backend.describe(),
        "benchmarks": {b.benchmark.name: benchmark_entry(b) for b in prepared.plan.benchmarks},
        "composites": {row.name: asdict(row) for row in prepared.plan.composites},
        "prompt": {
            "form": prepared.config.settings.form,
            "chat": bool(prepared.config.settings.chat),
            "fewshot_as_multiturn": prepared.config.settings.multiturn,
            "continues_assistant": prepared.config.settings.continues,
        },
        "skipped": prepared.plan.skipped,
        "execution": _execution(prepared),
        "plan": {"sha256": prepared.plan.sha256, "requests": sum(1 for _ in prepared.plan.requests)},
        "versions": versions(),
    }


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


def write_scores(folder: Path, prepared: Prepared, responses: dict[str, Response], receipt: dict[str, Any]) -> None:
    """Score, and write samples, scores, results and tables."""
    from harness.report import load_published, make_table
    from harness.report.render import as_csv, markdown
    from harness.report.table import RunScores
    from harness.score import failures
    from harness.score.lm_eval_format import results
    from harness.score.scorer import score_plan
    from harness.score.summary import summarise

    plan = prepared.plan
    if "precision" in receipt:
        from harness.precision import annotate, asked_only

        plan = asked_only(plan, responses)
    failed = failures.failures(plan, responses)
    plan = failures.without(plan, responses)
    with _executing(prepared.config):
        scores = score_plan(plan, responses)
    summary = summarise(plan, scores)
    if "precision" in receipt:
        annotate(summary, prepared.plan, scores, receipt["precision"])
    failures.annotate(summary, failed)
    _write_samples(folder, scores)
    _write_failed(folder, failed)
    write_json(folder / "scores.json", summary)
    write_json(folder / "results.json", results(plan, scores, summary, receipt))
    table = make_table(load_published(), [RunScores(folder.name, receipt, summary)], prepared.config.reference)
    (folder / "table.md").write_text(markdown(table), encoding="utf-8")
    (folder / "table.csv").write_text(as_csv(table), encoding="utf-8")


def _write_samples(folder: Path, scores: list[TaskScores]) -> None:
    target = folder / "samples"
    target.mkdir(exist_ok=True)
    for task in scores:
        task.samples.to_parquet(target / f"{task.task}.parquet", index=False)


def _write_failed(folder: Path, failed: Sequence[Failure]) -> None:
    """``failed.parquet``, where there is something to write."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "failed.parquet"
    if failed:
        pq.write_table(pa.Table.from_pylist([asdict(failure) for failure in failed]), file)
    else:
        file.unlink(missing_ok=True)


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


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON file at once, so that no reader meets half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    part.replace(path)
