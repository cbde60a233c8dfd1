"""Batched greedy or sampled generation with stop strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.backends.base import Generated
from harness.plan.request import Generate, Sampling
from harness.plan.tokens import Encoded, Tokenizer

if TYPE_CHECKING:
    import torch


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the earliest stop string."""
    places = [place for s in stop if s and (place := text.find(s)) >= 0]
    return text[: min(places)] if places else text


@dataclass
class Answer:
    """One answer in the making."""

    index: int
    """Index of the request."""
    request: Generate
    """What was asked."""
    context: list[int]
    """Prompt ids, cut from the left where the model is too short."""
    ends: frozenset[int]
    """Token ids that end the text."""
    new: list[int] = field(default_factory=list)
    """Ids generated so far."""
    finish: str | None = None
    """Set when the answer is complete."""

    def __post_init__(self) -> None:
        # a stop string of n bytes lies within the last n tokens; some more, since decoding may eat the first ones
        self._window = max((len(s.encode()) for s in self.request.stop), default=0) + 8
        self._random: torch.Generator | None = None

    def push(self, token: int, tokenizer: Tokenizer) -> None:
        """Take the next token and see whether the answer ends."""
        self.new.append(token)
        if token in self.ends:
            self.finish = "stop"
            return
        if self.request.stop:
            tail = tokenizer.decode(self.new[-self._window :])
            if any(s in tail for s in self.request.stop):
                self.finish = "stop"
                return
        if len(self.new) >= self.request.max_tokens:
            self.finish = "length"

    def answer(self, tokenizer: Tokenizer) -> Generated:
        """The finished answer."""
        assert self.finish is not None
        text = cut(tokenizer.decode(self.new), self.request.stop)
        return Generated(text, self.finish, len(self.context), len(self.new))

    def choose(self, logits: torch.Tensor) -> int:
        """The next token from this sequence's own random stream, whatever else is in the batch."""
        import torch

        sampling = self.request.sampling
        logits = penalise(logits, self.context + self.new, sampling.repetition_penalty)
        if sampling.greedy:
            return int(logits.argmax())
        if self._random is None:
            self._random = torch.Generator(device=logits.device).manual_seed(sampling.seed)
        return int(torch.multinomial(probabilities(logits, sampling), 1, generator=self._random))


def penalise(logits: torch.Tensor, seen: list[int], penalty: float) -> torch.Tensor:
    """Logits with the tokens seen before divided (if positive) or multiplied (if negative) by the penalty."""
    import torch

    if penalty == 1.0:
        return logits
    ids = torch.tensor(sorted(set(seen)), device=logits.device)
    old = logits[ids]
    return logits.index_copy(0, ids, torch.where(old > 0, old / penalty, old * penalty))


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution that is sampled: temperature, then top-k, top-p and min-p."""
    import torch

    logits = logits.float() / sampling.temperature
    if sampling.top_k:
        kth = torch.topk(logits, min(sampling.top_k, logits.numel())).values[-1]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    probs = torch.softmax(logits, dim=-1)
    if sampling.top_p < 1.0:
        ordered, order = probs.sort(descending=True, stable=True)
        outside = ordered.cumsum(0) - ordered >= sampling.top_p
        probs = probs.index_fill(0, order[outside], 0.0)
    if sampling.min_p > 0.0:
        probs = probs.masked_fill(probs < sampling.min_p * probs.max(), 0.0)
    return probs / probs.sum()


def generate(
    model: Any,
    tokenizer: Tokenizer,
    requests: Sequence[Generate],
    encoded: Sequence[Encoded],
    *,
    max_length: int,
    batch_tokens: int,
    slots: int,
) -> Iterator[list[tuple[int, Generated]]]:
    """Answers by request index, each batch's as they finish.

    A finished sequence leaves its batch as soon as half of the batch is done, so that its slot costs nothing more.
    """
    ends = end_tokens(model, tokenizer)
    todo = []
    for index, (request, ids) in enumerate(zip(requests, encoded, strict=True)):
        room = max(1, max_length - request.max_tokens)
        own = frozenset(ends | special_stops(tokenizer, request.stop))
        todo.append(Answer(index, request, ids.context[-room:], own))
    todo.sort(key=lambda s: (-len(s.context), s.index))
    while todo:
        n = 1
        while n < min(slots, len(todo)) and (n + 1) * len(todo[0].context) <= batch_tokens:
            n += 1
        batch, todo = todo[:n], todo[n:]
        yield from _run(model, tokenizer, batch)


def _run(model: Any, tokenizer: Tokenizer, batch: list[Answer]) -> Iterator[list[tuple[int, Generated]]]:
    import torch
    from transformers import DynamicCache

    device = model.get_input_embeddings().weight.device
    width = max(len(s.context) for s in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, sequence in enumerate(batch):
        ids[i, width - len(sequence.context) :] = torch.tensor(sequence.context)
        mask[i, width - len(sequence.context) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    live = list(batch)
    with torch.inference_mode():
        while live:
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            chosen = _choose(live, logits)
            done: list[tuple[int, Generated]] = []
            for sequence, token in zip(live, chosen, strict=True):
                if sequence.finish is None:
                    sequence.push(token, tokenizer)
                    if sequence.finish is not None:
                        done.append((sequence.index, sequence.answer(tokenizer)))
            if done:
                yield done
            keep = [i for i, sequence in enumerate(live) if sequence.finish is None]
            if not keep:
                return
            if 2 * len(keep) <= len(live):
                index = torch.tensor(keep, device=device)
                cache.batch_select_indices(index)
                mask, positions = mask[index], positions[index]
                live, chosen = [live[i] for i in keep], [chosen[i] for i in keep]
            ids = torch.tensor(chosen, device=device)[:, None]
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones((len(live), 1))], dim=1)


def _choose(live: list[Answer], logits: torch.Tensor) -> list[int]:
    if all(s.request.sampling.greedy and s.request.sampling.repetition_penalty == 1.0 for s in live):
        return [int(token) for token in logits.argmax(dim=-1).tolist()]
    return [0 if s.finish is not None else s.choose(row) for s, row in zip(live, logits, strict=True)]


def end_tokens(model: Any, tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that end a text: the model's own and the tokenizer's."""
    own = model.generation_config.eos_token_id
    ids = set(own if isinstance(own, list) else [] if own is None else [own])
    if tokenizer.inner.eos_token_id is not None:
        ids.add(tokenizer.inner.eos_token_id)
    return frozenset(ids)


def special_stops(tokenizer: Tokenizer, stop: Sequence[str]) -> set[int]:
    """Stops that are special tokens: decoding leaves them out of the text, so they are watched for as ids."""
    special = {str(token): id_ for id_, token in tokenizer.inner.added_tokens_decoder.items() if token.special}
    return {special[s] for s in stop if s in special}
