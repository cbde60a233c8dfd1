"""Scoring in padded batches, for models whose attention cannot be exchanged; logits at scored positions only."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.base import Scored
from harness.backends.torch.memory import out_of_memory
from harness.backends.torch.reads import windows
from harness.errors import BackendError
from harness.plan.tokens import Encoded

if TYPE_CHECKING:
    from harness.backends.torch.scoring import Spent

log = logging.getLogger(__name__)

LOGITS = 64 * 1024 * 1024  # logits held at once


@dataclass(frozen=True)
class Row:
    """One sequence of a batch and what is read off its end."""

    tokens: list[int]
    """Input ids."""
    targets: list[list[int]]
    """Ids whose log-probabilities are read: one-token lists, all at the last position, or one whole continuation."""
    request: int
    """Index of the request."""
    first: int
    """Index, in the request, of the first of these continuations."""

    @property
    def kept(self) -> int:
        """Positions at the end whose logits are needed."""
        return 1 if len(self.targets) > 1 else len(self.targets[0])


def rows(encoded: Sequence[Encoded], limit: int) -> Iterator[Row]:
    """The sequences to run: one a continuation, or one for all continuations of a single token."""
    for index, request in enumerate(encoded):
        if all(len(c) == 1 for c in request.continuations):
            yield Row(request.context[-limit:], request.continuations, index, 0)
            continue
        for number, continuation in enumerate(request.continuations):
            for window in windows(request.context, continuation, limit):
                yield Row(window.tokens, [window.targets], index, number)


def batches(todo: Sequence[Row], batch_tokens: int, vocabulary: int) -> Iterator[list[Row]]:
    """Rows of similar length together, within the token and logits budgets."""
    batch: list[Row] = []
    width = keep = 0
    for row in sorted(todo, key=lambda r: (-len(r.tokens), r.request, r.first)):
        wide, kept = max(width, len(row.tokens)), max(keep, row.kept)
        n = len(batch) + 1
        if batch and (n * wide > batch_tokens or n * kept * vocabulary > LOGITS):
            yield batch
            batch, wide, kept = [], len(row.tokens), row.kept
        batch, width, keep = [*batch, row], wide, kept
    if batch:
        yield batch


def score(
    model: Any, encoded: Sequence[Encoded], *, limit: int, batch_tokens: int, pad: int, spent: Spent
) -> Iterator[list[tuple[int, Scored]]]:
    """Answers by request index, after each batch those that it completes.

    Raises:
        BackendError: not even one prompt fits into the memory.
    """
    todo = list(rows(encoded, limit))
    left = np.bincount([row.request for row in todo], minlength=len(encoded))
    totals = [np.zeros(len(request.continuations)) for request in encoded]
    greedy = [np.ones(len(request.continuations), bool) for request in encoded]
    waiting = deque(batches(todo, batch_tokens, model.config.get_text_config().vocab_size))
    while waiting:
        batch = waiting.popleft()
        began = time.perf_counter()
        try:
            answers = _run(model, batch, pad)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise BackendError("a prompt by itself does not fit into the memory") from error
            half = len(batch) // 2
            log.warning("out of memory: %d prompts go on as two batches", len(batch))
            waiting.extendleft((batch[half:], batch[:half]))
            continue
        spent.model_seconds += time.perf_counter() - began
        spent.computed_tokens += sum(len(row.tokens) for row in batch)
        spent.passes += 1
        done = []
        for row, values in zip(batch, answers, strict=True):
            for i, (value, best) in enumerate(values, row.first):
                totals[row.request][i] += value
                greedy[row.request][i] &= best
            left[row.request] -= 1
            if not left[row.request]:
                request = encoded[row.request]
                size = len(request.context) + sum(len(c) for c in request.continuations)
                answer = Scored(tuple(totals[row.request].tolist()), tuple(greedy[row.request].tolist()), size)
                done.append((row.request, answer))
        yield done


def _run(model: Any, batch: list[Row], pad: int) -> list[list[tuple[float, bool]]]:
    """(log-likelihood, is greedy) of each target of each row."""
    import torch

    device = model.get_input_embeddings().weight.device
    width = max(len(row.tokens) for row in batch)
    keep = max(row.kept for row in batch)
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
            kept = row.kept
            logprobs = torch.log_softmax(logits[i, -kept:].float(), dim=-1)
            best = logprobs.argmax(dim=-1)
            if len(row.targets) > 1:
                results.append([(logprobs[0, t[0]].item(), best[0].item() == t[0]) for t in row.targets])
                continue
            target = torch.tensor(row.targets[0], device=logprobs.device)
            total = logprobs.gather(1, target[:, None]).sum().item()
            results.append([(total, bool((best == target).all()))])
    return results
