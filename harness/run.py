"""A run: one model on one suite, in a folder that is complete in itself."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends import make_backend
from harness.backends.base import Response
from harness.config import Config, check
from harness.errors import BackendError, BudgetError, UserError
from harness.folder import (
    read_receipt,
    read_responses,
    run_folder,
    write_failed,
    write_json,
    write_responses,
    write_samples,
)
from harness.plan import Plan, make_plan
from harness.prepare import Prepared, prepare, quiet_libraries
from harness.receipt import benchmark_entry, identify, make_receipt

if TYPE_CHECKING:
    from harness.collect import Budget, Collected, Store


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
    # the remedy for a budget with several processes is to set them to one: what was spent must not be forgotten by it
    chosen["backend"] = {key: value for key, value in chosen["backend"].items() if key != "processes"}
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
    receipt = make_receipt(prepared, identity) | {"status": "running", "started": started} | _earlier(folder)
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
    except (BackendError, BudgetError, UserError) as error:
        took = {"took": prepared.backend.took(), "charged_usd": budget.charged}
        write_json(folder / "receipt.json", receipt | took | {"status": "stopped", "reason": str(error)})
        raise
    write_responses(folder, plan, collected.responses)
    receipt |= {"totals": asdict(collected.totals), "took": prepared.backend.took(), "charged_usd": budget.charged}
    write_scores(folder, prepared, collected.responses, receipt)
    receipt |= {"status": "complete", "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(folder / "receipt.json", receipt)
    return folder


def _earlier(folder: Path) -> dict[str, Any]:
    """What calls before this one computed of the same run, for its receipt; those that only read the store are not."""
    if not (folder / "receipt.json").is_file():
        return {}
    old = read_receipt(folder)
    calls = list(old.get("earlier", []))
    if old.get("took") and old.get("totals", {}).get("asked", 1):
        kept = ("started", "finished", "status", "totals", "took", "charged_usd")
        calls.append({key: old[key] for key in kept if key in old})
    return {"earlier": calls} if calls else {}


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


def _count(plan: Plan) -> str:
    docs = sum(len(task.docs) for bench in plan.benchmarks for task in bench.tasks)
    return f"{len(plan.benchmarks)} benchmarks, {docs:,} docs, {len(plan.unique()):,} requests"


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
    write_samples(folder, scores)
    write_failed(folder, failed)
    write_json(folder / "scores.json", summary)
    write_json(folder / "results.json", results(plan, scores, summary, receipt))
    table = make_table(load_published(), [RunScores(folder.name, receipt, summary)], prepared.config.reference)
    (folder / "table.md").write_text(markdown(table), encoding="utf-8")
    (folder / "table.csv").write_text(as_csv(table), encoding="utf-8")
