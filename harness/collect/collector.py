"""Ask a backend for what the store does not have yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.backends.base import Backend, Failed, Generated, Remote, Response
from harness.collect.budget import Budget
from harness.collect.progress import Live
from harness.collect.store import Store
from harness.errors import BackendError
from harness.plan.request import Request


@dataclass
class Totals:
    """What a collection took."""

    asked: int = 0
    """Requests sent in this run."""
    stored: int = 0
    """Requests that the store answered."""
    failed: int = 0
    """Requests that have no answer and will not get one in this run."""
    prompt_tokens: int = 0
    """Prompt tokens of the requests sent."""
    completion_tokens: int = 0
    """Tokens generated."""
    seconds: float = 0.0
    """Wall time, loading of the model included."""
    cost_usd: float = 0.0
    """What all responses of this run cost, those from the store included."""
    lost_usd: float = 0.0
    """What attempts without an answer may have cost beside that, since the last start."""


@dataclass(frozen=True)
class Collected:
    """All responses of a plan."""

    responses: dict[str, Response]
    """By request hash."""
    totals: Totals
    """What it took."""


def collect(requests: Sequence[Request], backend: Backend, store: Store, budget: Budget | None = None) -> Collected:
    """Responses to all requests; every batch is in the store before the next begins.

    Requests that failed for a reason that may pass are asked again by the next collection.

    Raises:
        UserError: the backend cannot encode a request.
        BudgetError: the budget is spent.
        BackendError: the backend failed, or left requests without an answer.
    """
    budget = budget or Budget(None)
    model = backend.fingerprint()
    stored = store.get(model, [request.hash for request in requests])
    totals = Totals(stored=len(stored), cost_usd=sum(cost for _, cost in stored.values()))
    responses = {key: response for key, (response, _) in stored.items()}
    totals.failed = sum(isinstance(response, Failed) for response in responses.values())
    missing = list({r.hash: r for r in requests if r.hash not in responses}.values())
    if not missing:
        return Collected(responses, totals)
    start, lost = time.monotonic(), budget.lost
    with Live(len(missing), "asking", budget.limit) as live:
        remote = backend if isinstance(backend, Remote) else None
        for batch in remote.answer_within(missing, budget) if remote else backend.answer(missing):
            rows = []
            for request, response in batch:
                new = response.completion_tokens if isinstance(response, (Generated, Failed)) else 0
                cost = backend.price(response.prompt_tokens, new)
                responses[request.hash] = response
                totals.prompt_tokens += response.prompt_tokens
                totals.completion_tokens += new
                totals.cost_usd += cost
                if isinstance(response, Failed):
                    totals.failed += 1
                if not isinstance(response, Failed) or response.final:
                    rows.append((request.hash, response, cost))
            store.put(model, rows)
            totals.asked += len(batch)
            totals.lost_usd = budget.lost - lost
            tokens = totals.prompt_tokens + totals.completion_tokens
            live.update(totals.asked, tokens, totals.cost_usd + totals.lost_usd, totals.failed)
    totals.seconds = time.monotonic() - start
    totals.lost_usd = budget.lost - lost
    if totals.asked < len(missing):
        raise BackendError(f"the backend left {len(missing) - totals.asked} of {len(missing)} requests unanswered")
    return Collected(responses, totals)
