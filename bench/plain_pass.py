"""How fast a plain forward pass is, what a row asks for, and how far a time is from the limit that both set."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.backends.torch import TorchBackend
from harness.backends.torch.reads import lay_out
from harness.plan.tokens import Encoded, distinct_tokens

STEADY = 3.0  # seconds of plain passes one after another


def steady_speed(forward: Callable[..., object], size: int) -> float:
    """Tokens a second of plain passes of so many tokens, one after another for some seconds."""
    ids, done, began = torch.randint(0, 1000, (1, size)), 0, time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - began < STEADY:
            forward(input_ids=ids, use_cache=False)
            done += size
    return done / (time.perf_counter() - began)


def plain_speed(forward: Callable[..., object]) -> tuple[float, int]:
    """The most tokens a second of a plain forward pass, and the tokens of the text that reaches it."""
    best = 0.0, 0
    for size in (128, 256, 512, 1024):
        ids = torch.randint(0, 1000, (1, size))
        for _ in range(3):
            began = time.perf_counter()
            with torch.inference_mode():
                forward(input_ids=ids, use_cache=False)
            best = max(best, (size / (time.perf_counter() - began), size))
    return best


def sequences(encoded: Sequence[Encoded]) -> set[tuple[int, ...]]:
    """What HFLM computes of requests: context and continuation but for its last token, those that repeat once."""
    return {(*e.context, *c[:-1]) for e in encoded for c in e.continuations or [[]]}


@dataclass(frozen=True)
class Work:
    """What is computed."""

    tokens: int
    """Tokens that go through the layers."""
    pairs: int
    """Pairs of a token and itself or one before it in its sequence, over all of them."""
    logits: int
    """Positions that logits are computed of."""

    @classmethod
    def shared(cls, encoded: Sequence[Encoded]) -> Work:
        """What requests cannot do without: each distinct token once, logits where they are read."""
        stream, todo = lay_out(encoded, sys.maxsize)
        return cls(len(stream), int((stream.depth + 1).sum()), len(set(todo.place.tolist())))

    @classmethod
    def one_by_one(cls, encoded: Sequence[Encoded]) -> Work:
        """What HFLM computes of them, padding left out: whole sequences, logits everywhere."""
        lengths = [len(sequence) for sequence in sequences(encoded)]
        return cls(sum(lengths), sum(n * (n + 1) // 2 for n in lengths), sum(lengths))

    def operations(self, model: Any) -> float:
        """Floating-point operations of the matrix products, twice the multiplications, for a Llama-like decoder."""
        config = model.config
        weights = sum(m.weight.numel() for m in model.base_model.modules() if isinstance(m, torch.nn.Linear))
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        pair: int = 2 * config.num_hidden_layers * config.num_attention_heads * head_size
        row: int = config.hidden_size * config.vocab_size
        return 2.0 * (self.tokens * weights + self.pairs * pair + self.logits * row)


@dataclass
class Limit:
    """How fast a row could be: the best seen so far."""

    work: Work
    """What the row asks for."""
    tokens: int
    """Its distinct tokens; the last of a continuation is not computed, but counted, as ``harness plan`` does."""
    layers: tuple[float, int] = (0.0, 0)
    """Tokens a second of a plain pass through the layers, and the tokens of its text."""
    whole: tuple[float, int] = (0.0, 0)
    """The same with logits of all positions."""

    @classmethod
    def of(cls, encoded: Sequence[Encoded]) -> Limit:
        """Of some requests; nothing is measured yet."""
        return cls(Work.shared(encoded), distinct_tokens(encoded))

    def measure(self, backend: TorchBackend) -> None:
        """Run plain passes; the best counts."""
        self.layers = max(self.layers, plain_speed(backend._model.base_model))
        self.whole = max(self.whole, plain_speed(backend._model))

    def times(self, seconds: float, backend: TorchBackend) -> str:
        """What a time is of the limit."""
        (whole, _), (layers, size) = self.whole, self.layers
        tokens, needed = self.tokens, self.work.operations(backend._model)
        plain = Work(size, size * (size + 1) // 2, 0).operations(backend._model) * tokens / size
        return (
            f"{seconds * whole / tokens:.2f} times the limit by {whole:.0f} tokens/s of a plain pass; "
            f"{seconds * layers / tokens:.2f} by {layers:.0f} of its layers alone, where the arithmetic is "
            f"{needed / plain:.2f} times theirs"
        )
