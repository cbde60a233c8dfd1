"""Batched log-likelihoods; logits are computed at scored positions only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.backends.base import Scored
from harness.plan.tokens import Encoded

LOGITS_BUDGET = 64 * 1024 * 1024  # float32 logits held at once (256 MB)


@dataclass(frozen=True)
class Row:
    """One sequence of a batch and what is read off it."""

    request: int
    """Index of the request."""
    tokens: list[int]
    """Input ids."""
    targets: list[list[int]]
    """Ids whose log-probabilities are read: one-token lists, all at the last position, or one whole continuation."""
    first: int
    """Index of the first of these continuations in the request."""


def rows(encoded: Sequence[Encoded], max_length: int) -> list[Row]:
    """The sequences to run: one a continuation, or one for all continuations of a single token."""
    out = []
    for index, request in enumerate(encoded):
        if all(len(c) == 1 for c in request.continuations):
            out.append(Row(index, request.context[-max_length:], request.continuations, 0))
            continue
        for number, continuation in enumerate(request.continuations):
            whole = (request.context + continuation)[-(max_length + 1) :][:-1]
            out.append(Row(index, whole, [continuation], number))
    return out


def batches(todo: list[Row], batch_tokens: int, vocabulary: int) -> Iterator[list[Row]]:
    """Rows of similar length together, within the token and logits budgets."""
    batch: list[Row] = []
    width = keep = 0
    for row in sorted(todo, key=lambda r: (-len(r.tokens), r.request, r.first)):
        wide, kept = max(width, len(row.tokens)), max(keep, _kept(row))
        n = len(batch) + 1
        if batch and (n * wide > batch_tokens or n * kept * vocabulary > LOGITS_BUDGET):
            yield batch
            batch, wide, kept = [], len(row.tokens), _kept(row)
        batch, width, keep = [*batch, row], wide, kept
    if batch:
        yield batch


def _kept(row: Row) -> int:
    """Positions at the end whose logits are needed."""
    return 1 if len(row.targets) > 1 else len(row.targets[0])


def score_batch(model: Any, batch: list[Row], pad: int) -> list[list[tuple[float, bool]]]:
    """(log-likelihood, is greedy) of each target of each row."""
    import torch

    device = model.get_input_embeddings().weight.device
    width = max(len(row.tokens) for row in batch)
    keep = max(_kept(row) for row in batch)
    ids = torch.full((len(batch), width), pad, dtype=torch.long)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, row in enumerate(batch):
        ids[i, width - len(row.tokens) :] = torch.tensor(row.tokens)
        mask[i, width - len(row.tokens) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            logits_to_keep=keep,
            use_cache=False,
        ).logits
        results = []
        for i, row in enumerate(batch):
            kept = _kept(row)
            logprobs = torch.log_softmax(logits[i, keep - kept :].float(), dim=-1)
            best = logprobs.argmax(dim=-1)
            if len(row.targets) > 1:
                results.append([(logprobs[0, t[0]].item(), best[0].item() == t[0]) for t in row.targets])
                continue
            target = torch.tensor(row.targets[0], device=logprobs.device)
            total = logprobs.gather(1, target[:, None]).sum().item()
            results.append([(total, bool((best == target).all()))])
    return results


@dataclass
class Gathering:
    """Collects the continuations of each request until all are there."""

    encoded: Sequence[Encoded]
    """The requests."""

    def __post_init__(self) -> None:
        self._parts: dict[int, dict[int, tuple[float, bool]]] = {}

    def add(self, row: Row, values: list[tuple[float, bool]]) -> Scored | None:
        """The finished answer, once the row completes its request."""
        parts = self._parts.setdefault(row.request, {})
        parts.update({row.first + i: value for i, value in enumerate(values)})
        request = self.encoded[row.request]
        if len(parts) < len(request.continuations):
            return None
        del self._parts[row.request]
        ordered = [parts[i] for i in range(len(parts))]
        return Scored(
            tuple(value for value, _ in ordered),
            tuple(greedy for _, greedy in ordered),
            len(request.context) + sum(len(c) for c in request.continuations),
        )
