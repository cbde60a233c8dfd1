"""What a plan will take, before anything is asked: tokens, time and price."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.backends.base import Backend
from harness.plan import Generate, Plan, Request
from harness.plan.tokens import distinct_tokens

if TYPE_CHECKING:
    from rich.table import Table

BYTES_PER_TOKEN = 3.5  # of UTF-8, where no tokenizer is at hand: a little less than in most languages of the suite
TURN = 5  # tokens that a conversation's format adds to a message


@dataclass(frozen=True)
class Hardware:
    """What a large model would run on, for the plan's arithmetic (the config's ``estimate``)."""

    parameters: float = 72.7e9
    """Parameters used per token; by default those of the published table's model."""
    gpus: int = 8
    """GPUs that share the work."""
    tflops: float = 300.0
    """What each of them sustains: some 30 % of an H100's dense bfloat16 peak."""
    usd_per_million: float = 0.39
    """An API's price of a million tokens, in and out."""


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
    billed_tokens: int
    """Tokens when each request's context counts once, with all its continuations: what an API bills."""
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


def most_usd(plan: Plan, backend: Backend) -> float:
    """The most that a plan's requests can cost, tokens guessed where there is no tokenizer."""
    requests = plan.unique()
    if not backend.price(1_000_000, 1_000_000):
        return 0.0
    tokenizer = backend.tokenizer()
    if tokenizer is None:
        billed = sum(guess_tokens(request) for request in requests)
    else:
        billed = sum(len(e.context) + sum(map(len, e.continuations)) for e in tokenizer.encode(requests))
    return backend.price(billed, sum(r.max_tokens for r in requests if isinstance(r, Generate)))


def guess_tokens(request: Request) -> int:
    """Tokens of a request, where no tokenizer is at hand."""
    text = request.context + ("" if isinstance(request, Generate) else "".join(request.continuations))
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) + TURN * len(request.messages)


def _row(name: str, docs: int, requests: Sequence[Request], backend: Backend, speed: float | None) -> Estimate:
    tokenizer = backend.tokenizer()
    new = sum(r.max_tokens for r in requests if isinstance(r, Generate))
    if tokenizer is None:
        prompt = billed = distinct = sum(guess_tokens(request) for request in requests)
    else:
        encoded = tokenizer.encode(requests)
        prompt = sum(e.tokens for e in encoded)
        billed = sum(len(e.context) + sum(map(len, e.continuations)) for e in encoded)
        distinct = distinct_tokens(encoded)
    # who bills counts each prompt; who computes here computes what is shared once
    price = backend.price(billed, new)
    seconds = None if speed is None else ((billed if price else distinct) + new) / speed
    return Estimate(name, docs, len(requests), prompt, distinct, billed, new, seconds, price)


def _measured_speed(run_dir: Path, fingerprint: str) -> float | None:
    """Tokens a second of the latest run of the same model, from its receipt."""
    receipts = sorted(run_dir.glob("*/receipt.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    for file in receipts:
        try:
            receipt = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a run that is being written
        if receipt.get("model", {}).get("fingerprint") != fingerprint:
            continue
        for call in (receipt, *reversed(receipt.get("earlier", []))):
            took = call.get("took", {})
            if took.get("seconds", 0) > 5:
                return float(took["tokens_per_second"])
    return None


def arithmetic(total: Estimate, assumed: Hardware) -> str:
    """What the same requests would take of a large model: operations, hours on GPUs, dollars at an API.

    A forward pass takes two operations a parameter and token (Kaplan et al. 2020), attention left out; an API bills
    each prompt whole.
    """
    tokens = total.distinct_tokens + total.new_tokens
    operations = 2 * assumed.parameters * tokens
    hours = operations / (assumed.gpus * assumed.tflops * 1e12) / 3600
    dollars = (total.billed_tokens + total.new_tokens) / 1e6 * assumed.usd_per_million
    size = f"{assumed.parameters / 1e9:g}"
    return (
        f"With {size} billion parameters: 2 x {size}e9 x {tokens:,} tokens (after sharing, and all new ones) = "
        f"{operations:.3g} FLOPs; {assumed.gpus} GPUs at {assumed.tflops:g} TFLOP/s each take at most {hours:,.1f} "
        f"hours; an API at ${assumed.usd_per_million:g} per million tokens, each prompt billed whole, takes at most "
        f"${dollars:,.2f}."
    )


def plan_table(rows: Sequence[Estimate]) -> Table:
    """For rich's console."""
    from rich.table import Table

    table = Table(header_style="bold")
    table.add_column("benchmark")
    prompts = ("prompt tokens", "after sharing", "times fewer")
    for title in ("docs", "requests", *prompts, "new tokens ≤", "time ≈", "price ≤"):
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
            f"{row.prompt_tokens / row.distinct_tokens:.1f}" if row.distinct_tokens else "",
            f"{row.new_tokens:,}",
            "?" if row.seconds is None else _duration(row.seconds),
            f"${row.usd:,.2f}",
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
