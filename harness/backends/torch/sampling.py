"""How the next tokens are chosen from logits, each answer by its own request and its own random stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.backends.torch.answers import Answer
from harness.plan.request import Sampling

if TYPE_CHECKING:
    import torch

ROWS = 64  # rows turned into distributions at once
LIKELY = 512  # how many tokens are sorted to find the likeliest ones, if they are enough


def choose(answers: Sequence[Answer], logits: torch.Tensor) -> list[int]:
    """The next token of each answer; one row of ``logits`` an answer, or one for all of them.

    Raises:
        ValueError: the model's logits are not numbers.
    """
    import torch

    chosen = [0] * len(answers)
    alike: dict[Sampling, list[int]] = {}
    for i, answer in enumerate(answers):
        alike.setdefault(dataclasses.replace(answer.request.sampling, seed=0), []).append(i)
    for sampling, members in alike.items():
        for start in range(0, len(members), ROWS):
            part = members[start : start + ROWS]
            rows = logits if len(part) == len(logits) else logits[[0 if len(logits) == 1 else i for i in part]]
            if sampling.repetition_penalty != 1.0:
                seen = [answers[i].context + answers[i].new for i in part]
                rows = torch.stack(
                    [penalise(row, s, sampling.repetition_penalty) for row, s in zip(rows, seen, strict=True)]
                )
            if sampling.presence_penalty or sampling.frequency_penalty:
                rows = torch.stack([lower(row, answers[i].new, sampling) for row, i in zip(rows, part, strict=True)])
            if sampling.greedy:
                tokens = rows.argmax(dim=-1).tolist()
            else:
                tokens = draw(probabilities(rows, sampling), [answers[i].draw() for i in part])
            for i, token in zip(part, tokens, strict=True):
                chosen[i] = token
    return chosen


def lower(row: torch.Tensor, new: Sequence[int], sampling: Sampling) -> torch.Tensor:
    """Logits less the presence and frequency penalties of the tokens generated so far, as OpenAI's API defines them."""
    import torch

    if not new:
        return row
    counts = torch.bincount(torch.tensor(new, device=row.device), minlength=row.shape[-1]).to(row.dtype)
    return row - sampling.frequency_penalty * counts - sampling.presence_penalty * (counts > 0).to(row.dtype)


def draw(probs: torch.Tensor, numbers: Sequence[float]) -> list[int]:
    """For each row the first token at which the summed probabilities exceed that share of all."""
    import torch

    sums = probs.double().cumsum(dim=-1)
    share = torch.tensor(numbers, dtype=torch.float64, device=sums.device) * sums[:, -1]
    # a share that rounds up to all of it still means the last token that has a probability
    share = torch.minimum(share, torch.nextafter(sums[:, -1], torch.zeros_like(share)))
    if not torch.isfinite(share).all():
        raise ValueError("the model's logits are not numbers")
    chosen: list[int] = torch.searchsorted(sums, share[:, None], right=True)[:, 0].tolist()
    return chosen


def penalise(logits: torch.Tensor, seen: list[int], penalty: float) -> torch.Tensor:
    """Logits with the tokens seen before divided (if positive) or multiplied (if negative) by the penalty."""
    import torch

    ids = torch.tensor(sorted(set(seen)), device=logits.device)
    old = logits[ids]
    return logits.index_copy(0, ids, torch.where(old > 0, old / penalty, old * penalty))


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distributions that are sampled, one a row: temperature, then top-k, top-p and min-p.

    Tokens of equal probability are kept or left out together.
    """
    import torch

    logits = logits.float() / sampling.temperature
    if sampling.top_k:
        least = torch.topk(logits, min(sampling.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probs = torch.softmax(logits, dim=-1)
    if sampling.top_p < 1.0:
        probs = probs.masked_fill(probs < _least_of(probs, sampling.top_p), 0.0)
    if sampling.min_p > 0.0:
        probs = probs.masked_fill(probs < sampling.min_p * probs.amax(dim=-1, keepdim=True), 0.0)
    return probs / probs.sum(dim=-1, keepdim=True)


def _least_of(probs: torch.Tensor, mass: float) -> torch.Tensor:
    """The probability of the last of the likeliest tokens that together have this mass."""
    ordered = probs.topk(min(LIKELY, probs.shape[-1])).values
    sums = ordered.cumsum(dim=-1)
    if bool((sums[:, -1] < mass).any()):
        ordered = probs.sort(dim=-1, descending=True).values
        sums = ordered.cumsum(dim=-1)
    last = (sums < mass).sum(dim=-1, keepdim=True).clamp(max=ordered.shape[-1] - 1)
    return ordered.gather(-1, last)
