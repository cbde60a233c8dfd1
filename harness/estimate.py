"""What a plan will take, before anything is asked: tokens, time and price."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.backends.base import Backend
from harness.plan import Generate, Plan, Request
from harness.plan.tokens import distinct_tokens

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """One benchmark, or the total."""

    name: str
    """The benchmark."""
    docs: int
    """Docs asked."""
    requests: int
    """Distinct requests."""
    prompt_tokens: int
    """Tokens when every continuation is scored after its own copy of the context."""
    distinct_tokens: int
    """Tokens that remain when every shared prefix is computed once."""
    new_tokens: int
    """The most tokens that can be generated."""
    seconds: float | None
    """A rough time on this machine; None where nothing is known."""
    usd: float
    """The most that it can cost."""


def estimate(plan: Plan, backend: Backend, run_dir: Path) -> list[Estimate]:
    """One row a benchmark, then the total."""
    speed = _measured_speed(run_dir, backend.fingerprint()) or backend.tokens_per_second()
    rows = []
    for bench in plan.benchmarks:
        requests = list({request.hash: request for request in bench.requests}.values())
        rows.append(_row(bench.benchmark.name, sum(len(t.docs) for t in bench.tasks), requests, backend, speed))
    if len(rows) > 1:
        docs = sum(len(t.docs) for b in plan.benchmarks for t in b.tasks)
        rows.append(_row("total", docs, plan.unique(), backend, speed))
    return rows


def _row(name: str, docs: int, requests: Sequence[Request], backend: Backend, speed: float | None) -> Estimate:
    tokenizer = backend.tokenizer()
    encoded = tokenizer.encode(requests) if tokenizer is not None else []
    prompt = sum(e.tokens for e in encoded)
    billed = sum(len(e.context) + sum(map(len, e.continuations)) for e in encoded)
    new = sum(r.max_tokens for r in requests if isinstance(r, Generate))
    return Estimate(
        name,
        docs,
        len(requests),
        prompt,
        distinct_tokens(encoded),
        new,
        None if speed is None else (billed + new) / speed,
        backend.price(billed, new),
    )


def _measured_speed(run_dir: Path, fingerprint: str) -> float | None:
    """Tokens a second of the latest run of the same model, from its receipt."""
    receipts = sorted(run_dir.glob("*/receipt.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    for file in receipts:
        try:
            receipt = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a run that is being written
        totals = receipt.get("totals", {})
        if receipt.get("model", {}).get("fingerprint") == fingerprint and totals.get("seconds", 0) > 5:
            return float((totals["prompt_tokens"] + totals["completion_tokens"]) / totals["seconds"])
    return None


def plan_table(rows: Sequence[Estimate]) -> Table:
    """For rich's console."""
    from rich.table import Table

    table = Table(header_style="bold")
    table.add_column("benchmark")
    for title in ("docs", "requests", "prompt tokens", "after sharing", "new tokens ≤", "time ≈", "price ≤"):
        table.add_column(title, justify="right")
    for row in rows:
        if row.name == "total":
            table.add_section()
        table.add_row(
            row.name,
            f"{row.docs:,}",
            f"{row.requests:,}",
            f"{row.prompt_tokens:,}",
            f"{row.distinct_tokens:,}",
            f"{row.new_tokens:,}",
            "?" if row.seconds is None else _duration(row.seconds),
            f"${row.usd:,.2f}",
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
