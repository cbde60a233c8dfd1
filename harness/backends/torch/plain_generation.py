"""Generation in padded batches, for models whose attention cannot be exchanged."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from harness.backends.base import Generated
from harness.backends.torch import sampling
from harness.backends.torch.answers import Answer
from harness.backends.torch.generation import Choose
from harness.backends.torch.memory import out_of_memory, within
from harness.backends.torch.scoring import Spent
from harness.errors import BackendError

log = logging.getLogger(__name__)


def generate(
    model: Any,
    answers: Sequence[Answer],
    *,
    batch_tokens: int,
    slots: int,
    kv_tokens: int,
    spent: Spent,
    cached: bool = True,
    choose: Choose = sampling.choose,
) -> Iterator[list[tuple[int, Generated]]]:
    """Answers by request index, as soon as each is finished.

    A finished text leaves its batch as soon as half of the batch is done, so that its slot costs nothing more. When
    memory runs out, what is not finished begins again, in batches half as large. Without ``cached`` every token's whole
    text is computed again, for models whose cache is of a kind of its own.

    Raises:
        UserError: a single text needs the keys and values of more than ``kv_tokens``.
        BackendError: not even one text fits into the memory.
    """
    todo = sorted(answers, key=lambda a: (-len(a.context), a.index))
    while todo:
        batch = _next_batch(model, todo, batch_tokens, slots, kv_tokens)
        todo = todo[len(batch) :]
        try:
            yield from _run(model, batch, spent, cached, choose)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise BackendError("a text by itself does not fit into the memory") from error
            slots = len(batch) // 2
            log.warning("out of memory: going on with %d texts at once", slots)
            todo = [Answer(a.index, a.request, a.context, a.texts) for a in batch if a.finish is None] + todo


def _next_batch(model: Any, todo: Sequence[Answer], batch_tokens: int, slots: int, kv_tokens: int) -> list[Answer]:
    """As many of the first ones as there may be, padded to the longest prompt and grown to the longest answer."""
    width, grown, n = len(todo[0].context), 0, 0
    for answer in todo[:slots]:
        grown = max(grown, width + answer.request.max_tokens)
        if n and ((n + 1) * width > batch_tokens or (n + 1) * grown > kv_tokens):
            break
        n += 1
        if n == 1:
            within(model, kv_tokens, grown)
    return list(todo[:n])


def _run(
    model: Any, batch: list[Answer], spent: Spent, cached: bool, choose: Choose
) -> Iterator[list[tuple[int, Generated]]]:
    import torch
    from transformers import DynamicCache

    device = model.get_input_embeddings().weight.device
    width = max(len(a.context) for a in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, answer in enumerate(batch):
        ids[i, width - len(answer.context) :] = torch.tensor(answer.context)
        mask[i, width - len(answer.context) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config) if cached else None
    live = list(batch)
    spent.computed_tokens += sum(len(a.context) for a in batch)
    spent.passes += 1
    while live:
        began = time.perf_counter()
        with torch.inference_mode():
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=cached,
                logits_to_keep=1,
            ).logits[:, -1]
            growing = [i for i, answer in enumerate(live) if answer.finish is None]
            chosen = [0] * len(live)
            for i, token in zip(growing, choose([live[i] for i in growing], logits[growing]), strict=True):
                chosen[i] = token
                live[i].push(token)
        spent.model_seconds += time.perf_counter() - began
        spent.new_tokens += len(growing)
        spent.turns += 1
        if done := [(live[i].index, live[i].answer()) for i in growing if live[i].finish is not None]:
            yield done
        keep = [i for i, answer in enumerate(live) if answer.finish is None]
        if not keep:
            return
        if 2 * len(keep) <= len(live):
            index = torch.tensor(keep, device=device)
            if cache is not None:
                cache.batch_select_indices(index)
            ids, mask, positions = ids[index], mask[index], positions[index]
            live, chosen = [live[i] for i in keep], [chosen[i] for i in keep]
        newest, place = torch.tensor(chosen, device=device)[:, None], positions[:, -1:] + 1
        ids = newest if cached else torch.cat([ids, newest], dim=1)
        positions = place if cached else torch.cat([positions, place], dim=1)
        mask = torch.cat([mask, mask.new_ones((len(live), 1))], dim=1)
