"""The backend of OpenAI-compatible servers: everything else in this package, in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import importlib.util
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from harness.backends.base import Capabilities, Response, model_kind
from harness.backends.openai.asking import Asker, Stopped, Tally
from harness.backends.openai.calls import Codec
from harness.backends.openai.found import Found
from harness.backends.openai.options import OpenAIOptions
from harness.backends.openai.pace import Pace
from harness.backends.openai.spread import spread
from harness.collect.budget import Budget
from harness.errors import BackendError, BudgetError, UserError
from harness.plan.request import Request
from harness.plan.tokens import Boundary, Tokenizer

TOGETHER = 0.01  # seconds: answers that come so close together are handed over, and stored, together
AHEAD = 32  # requests that wait for a place, beside those in flight
DRAIN = 60.0  # seconds that paid requests have to come back when the run stops


class OpenAIBackend:
    """A model behind an HTTP API."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        self.found: Found | None = None
        """What the server can do, once it was asked."""
        self.tally = Tally()
        self._seconds = 0.0

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do; before it was asked, what can be said without asking."""
        found = self.found or self._guess()
        ids = self.options.tokenizer is not None and found.prompt_ids
        return Capabilities(
            loglikelihood=found.echo,
            generation=True,
            continues=found.continues != "no",
            letters=found.top_plain > 0,
            loglikelihood_in_chat=found.echo and ids,
            letters_in_chat=found.top_chat > 0,
            plain=found.plain,
            formats=True,
        )

    def _guess(self) -> Found:
        api = self.options.api
        return Found(chat=api != "completions", plain=api != "chat")

    def check(self, asks: bool = True) -> None:
        """See :meth:`harness.backends.base.Backend.check`; nothing is sent and no key is needed."""
        self.options.check()
        if self.options.tokenizer is not None and importlib.util.find_spec("transformers") is None:
            raise UserError(
                f"backend.tokenizer = {self.options.tokenizer}, but the package transformers is not installed.",
                "Run: pip install 'harness[torch]'   (make setup does it), or set backend.tokenizer=null",
            )

    def fingerprint(self) -> str:
        """Address, model and everything that is sent beside the requests."""
        options = self.options
        parts = [options.base_url, options.model, options.revision]
        if options.extra_body:
            parts.append(hashlib.sha256(json.dumps(options.extra_body, sort_keys=True).encode()).hexdigest()[:16])
        if self.found is not None and not self.found.echo:
            parts.append("letters by first tokens")
        return "openai:" + "|".join(str(part) for part in parts)

    def describe(self) -> dict[str, Any]:
        """See :meth:`harness.backends.base.Backend.describe`."""
        import openai

        name = str(self.options.model)
        return {
            "kind_of_backend": "openai",
            "model": name,
            "kind": self.options.model_kind or model_kind(name),
            "base_url": self.options.base_url,
            "fingerprint": self.fingerprint(),
            "dtype": "as served",
            "found": None if self.found is None else self.found.described,
            "openai": openai.__version__,
        }

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer | None:
        if self.options.tokenizer is None:
            return None
        from transformers import AutoTokenizer

        try:
            inner = AutoTokenizer.from_pretrained(self.options.tokenizer)
        except (OSError, ValueError) as error:
            raise UserError(
                f"backend.tokenizer = {self.options.tokenizer}, which cannot be loaded: {str(error).splitlines()[0]}",
                "Give a folder with a tokenizer, a hub id, or null.",
            ) from error
        return Tokenizer(inner, cast(Boundary, self.options.boundary))

    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer, if one was named."""
        return self._tokenizer

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """By the prices of the configuration."""
        return self.options.price(prompt_tokens, completion_tokens)

    def tokens_per_second(self) -> float | None:
        """Nobody knows before it is tried."""
        return None

    def took(self) -> dict[str, Any]:
        """Calls, faults, concurrency, and whose counts of tokens these are."""
        tally = self.tally
        if not tally.calls:
            return {}
        tokens = tally.prompt_tokens + tally.completion_tokens
        return {
            "calls": tally.calls,
            "faults": dict(tally.faults),
            "answered_by": dict(tally.models),
            "most_in_flight": tally.most_in_flight,
            "limit_at_the_end": tally.limit,
            "tokens_counted_here": tally.counted,
            "seconds": round(self._seconds, 3),
            "tokens_per_second": round(tokens / max(self._seconds, 1e-9), 1),
        }

    def probe(self, budget: Budget) -> None:
        """See :meth:`harness.backends.base.Remote.probe`."""
        from harness.backends.openai.probe import probe
        from harness.backends.openai.transport import Direct

        if budget.limit is not None and self.options.processes > 1:
            raise UserError(
                f"backend.processes = {self.options.processes}, which do not know what the others spend, "
                f"but budget.usd = {budget.limit:g}.",
                "Set backend.processes=1, or budget.usd=null.",
            )
        if budget.limit is not None and not self.options.priced:
            raise UserError(
                f"budget.usd = {budget.limit:g}, but the price of backend.model = {self.options.model} is not known.",
                "Set backend.usd_per_million_in and backend.usd_per_million_out, or budget.usd=null.",
            )
        key = self.options.key()

        async def ask() -> Found:
            async with Direct(str(self.options.base_url), key, self.options.timeout) as transport:
                return await probe(self.options, transport, budget, tokenizer=self._tokenizer)

        self.found = asyncio.run(ask())

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """See :meth:`harness.backends.base.Backend.answer`."""
        return self.answer_within(requests, Budget(None))

    def answer_within(self, requests: Iterable[Request], budget: Budget) -> Iterator[list[tuple[Request, Response]]]:
        """Answers as they come, in no order; those of one moment together.

        The event loop runs in this thread, between two answers that are taken: what is handed over is stored before
        anything else happens.
        """
        if self.found is None:
            self.probe(budget)
        assert self.found is not None
        if self.options.processes > 1:
            began = time.perf_counter()
            try:
                yield from spread(list(requests), self.options, self.found, budget, self.tally)
            finally:
                self._seconds += time.perf_counter() - began
            return
        key = self.options.key()
        loop = asyncio.new_event_loop()
        hand = _Handover(loop)
        began = time.perf_counter()
        work = loop.create_task(self._work(requests, budget, key, hand))
        work.add_done_callback(lambda _: loop.stop())
        try:
            while True:
                if not work.done():
                    loop.run_forever()
                if ready := hand.take():
                    yield ready
                elif work.done():
                    break
            work.result()
        finally:
            self._seconds += time.perf_counter() - began
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, BackendError, BudgetError):
                loop.run_until_complete(work)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _work(self, requests: Iterable[Request], budget: Budget, key: str, hand: _Handover) -> None:
        """Ask all requests, a few more at a time than may be in flight."""
        from harness.backends.openai.transport import Direct

        assert self.found is not None
        options = self.options
        pace = Pace(options.concurrency, options.requests_per_minute, options.tokens_per_minute)
        codec = Codec(options, self.found, self._tokenizer)
        async with Direct(str(options.base_url), key, options.timeout) as transport:
            asker = Asker(options, codec, transport, pace, budget, self.tally)
            try:
                await _all(requests, asker, pace, hand)
            finally:
                self.tally.counted += codec.counted
                self.tally.most_in_flight = max(self.tally.most_in_flight, pace.most)
                self.tally.limit = int(pace.limit)


class _Handover:
    """Answers on their way out of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: list[tuple[Request, Response]] = []

    def put(self, request: Request, response: Response) -> None:
        """Hand over soon."""
        if not self._ready:
            self._loop.call_later(TOGETHER, self._loop.stop)
        self._ready.append((request, response))

    def take(self) -> list[tuple[Request, Response]]:
        """Everything there is."""
        ready, self._ready = self._ready, []
        return ready


async def _all(requests: Iterable[Request], asker: Asker, pace: Pace, hand: _Handover) -> None:
    """Ask all requests; at a failure for good no new attempt begins, and what is paid may still come back.

    Raises:
        BackendError, BudgetError: what a request met; a failure counts more than an empty budget.
    """
    tasks: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []
    change = asyncio.Event()

    async def one(request: Request) -> None:
        hand.put(request, await asker.ask(request))

    def gone(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Stopped):
            failures.append(error)
        change.set()

    try:
        for request in requests:
            while not failures and len(tasks) >= int(pace.limit) + AHEAD:
                change.clear()
                await change.wait()
            if failures:
                break
            task = asyncio.create_task(one(request))
            tasks.add(task)
            task.add_done_callback(gone)
        while tasks and not failures:
            change.clear()
            await change.wait()
        if failures:
            asker.stopping = True
            if flying := tasks & asker.flying:
                for task in tasks - flying:
                    task.cancel()
                await asyncio.wait(flying, timeout=DRAIN)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise min(failures, key=lambda error: (isinstance(error, BudgetError), isinstance(error, BackendError)))
