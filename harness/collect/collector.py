"""Ask a backend for what the store does not have yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.backends.base import Backend, Generated, Response
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
    prompt_tokens: int = 0
    """Prompt tokens of the requests sent."""
    completion_tokens: int = 0
    """Tokens generated."""
    seconds: float = 0.0
    """Wall time, loading of the model included."""
    cost_usd: float = 0.0
    """What all responses of this run cost, those from the store included."""


@dataclass(frozen=True)
class Collected:
    """All responses of a plan."""

    responses: dict[str, Response]
    """By request hash."""
    totals: Totals
    """What it took."""


def collect(requests: Sequence[Request], backend: Backend, store: Store) -> Collected:
    """Responses to all requests; every batch is in the store before the next begins.

    Raises:
        UserError: the backend cannot encode a request.
        BackendError: the backend failed, or left requests without an answer.
    """
    model = backend.fingerprint()
    stored = store.get(model, [request.hash for request in requests])
    totals = Totals(stored=len(stored), cost_usd=sum(cost for _, cost in stored.values()))
    responses = {key: response for key, (response, _) in stored.items()}
    missing = list({r.hash: r for r in requests if r.hash not in responses}.values())
    if not missing:
        return Collected(responses, totals)
    start = time.monotonic()
    with Live(len(missing), "asking") as live:
        for batch in backend.answer(missing):
            rows = []
            for request, response in batch:
                new = response.completion_tokens if isinstance(response, Generated) else 0
                cost = backend.price(response.prompt_tokens, new)
                rows.append((request.hash, response, cost))
                responses[request.hash] = response
                totals.prompt_tokens += response.prompt_tokens
                totals.completion_tokens += new
                totals.cost_usd += cost
            store.put(model, rows)
            totals.asked += len(rows)
            live.update(totals.asked, totals.prompt_tokens + totals.completion_tokens, totals.cost_usd)
    totals.seconds = time.monotonic() - start
    if totals.asked < len(missing):
        raise BackendError(f"the backend left {len(missing) - totals.asked} of {len(missing)} requests unanswered")
    return Collected(responses, totals)
