"""A request until it is answered: attempts, waits, and what they cost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.backends.base import Failed, Response
from harness.backends.openai.calls import Call, Codec
from harness.backends.openai.faults import Passing, Refused
from harness.backends.openai.options import OpenAIOptions
from harness.backends.openai.pace import Pace
from harness.backends.openai.transport import Transport
from harness.backends.openai.wire import Choice, Message, Usage, read
from harness.collect.budget import Budget
from harness.errors import BackendError
from harness.plan.request import Request

FIRST_WAIT = 0.5  # seconds, doubled with every attempt
LONGEST_WAIT = 30.0
IN_A_ROW = 10  # requests refused before any is answered: the server refuses them all


class Stopped(Exception):
    """The run stops before this request is answered."""


@dataclass
class Tally:
    """What asking took, for the receipt."""

    calls: int = 0
    """Attempts sent."""
    answered: int = 0
    """Requests answered."""
    refused: int = 0
    """Requests that will have no answer."""
    faults: Counter[str] = field(default_factory=Counter)
    """Attempts that failed, by what happened."""
    models: Counter[str] = field(default_factory=Counter)
    """Who answered, as the server names it."""
    prompt_tokens: int = 0
    """Of answered requests."""
    completion_tokens: int = 0
    """Of answered requests."""
    counted: int = 0
    """Answers whose tokens were counted here, since the server did not, or absurdly."""
    most_in_flight: int = 0
    """Requests that were in flight at once."""
    limit: int = 0
    """How many might be at the end."""

    def add(self, others: Sequence[Tally]) -> None:
        """What processes took that worked side by side."""
        for name in (
            "calls",
            "answered",
            "refused",
            "faults",
            "models",
            "prompt_tokens",
            "completion_tokens",
            "counted",
        ):
            for other in others:
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_in_flight = max(self.most_in_flight, sum(other.most_in_flight for other in others))
        self.limit = sum(other.limit for other in others)


@dataclass
class Asker:
    """Asks one request at a time, many times over: one coroutine a request."""

    options: OpenAIOptions
    """Prices, deadline, stream or not."""
    codec: Codec
    """Writes and reads."""
    transport: Transport
    """Sends."""
    pace: Pace
    """Lets go."""
    budget: Budget
    """Pays."""
    tally: Tally
    """Counts."""
    stopping: bool = False
    """Whether no new attempt may begin."""
    flying: set[asyncio.Task[Any]] = field(default_factory=set)
    """Tasks whose request is with the server."""

    def __post_init__(self) -> None:
        self._settled = asyncio.Event()

    async def ask(self, request: Request) -> Response:
        """The response to a request.

        Raises:
            BudgetError: the money for it is not there, and none will come back.
            BackendError: no request will be answered.
        """
        used = Usage(0, 0)
        try:
            asked = self.codec.asked(request)
            choices: list[Choice] = []
            for call in asked.calls:
                message, spent = await self._answer(call, request.hash)
                choices += message.choices
                used = Usage(used.prompt + spent.prompt, used.completion + spent.completion)
            response = asked.respond(choices, used)
        except Refused as refusal:
            return self._refuse(refusal, used)
        self.tally.answered += 1
        self.tally.prompt_tokens += used.prompt
        self.tally.completion_tokens += used.completion
        return response

    def _refuse(self, refusal: Refused, used: Usage) -> Failed:
        self.tally.refused += 1
        if self.tally.answered == 0 and self.tally.refused >= IN_A_ROW:
            raise BackendError(f"the server refused the first {self.tally.refused} requests: {refusal}") from refusal
        prompt, new = max(used.prompt, refusal.prompt_tokens), max(used.completion, refusal.completion_tokens)
        return Failed(str(refusal), refusal.final, prompt, new)

    async def _answer(self, call: Call, seed: str) -> tuple[Message, Usage]:
        """The answer to a call, after as many attempts as it takes."""
        loop = asyncio.get_running_loop()
        began, others = loop.time(), self.tally.answered
        held = 0.0
        seen: Counter[str] = Counter()
        stream = self.options.stream and call.prompts == 1 and "logprobs" not in call.fields
        while True:
            arrived = loop.time()
            went = await self.pace.enter(call.most_prompt // 3 + call.most_new)
            held += loop.time() - arrived  # at the gate it waits for others, which is not the server's silence
            try:
                return await self._attempt(call, stream, went)
            except Passing as fault:
                self.tally.faults[fault.kind] += 1
                seen[fault.kind] += 1
                if fault.tries is not None and seen[fault.kind] >= fault.tries:
                    raise Refused(f"{fault} ({fault.tries} times)") from fault
                if fault.whole:
                    stream = False
                wait = self._wait(sum(seen.values()), seed)
                if fault.wait is not None:
                    if fault.wait > self.options.deadline:
                        raise BackendError(
                            f"the server asks to wait {fault.wait:,.0f} s, longer than backend.deadline: {fault}"
                        ) from fault
                    # everyone waits; a little apart, so that not all come at once
                    self.pace.close_for(fault.wait)
                    wait = fault.wait + wait / 10
                if self.stopping:
                    raise Stopped from fault
                took = loop.time() - began - held
                if took + wait > self.options.deadline:
                    raise self._given_up(fault, others, took) from fault
            await asyncio.sleep(wait)

    def _wait(self, attempts: int, seed: str) -> float:
        """Exponential, with jitter that depends on the request alone."""
        longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempts - 1))
        return longest * (0.5 + random.Random(f"{seed}{attempts}").random() / 2)

    def _given_up(self, fault: Passing, others: int, seconds: float) -> Exception:
        """Past the deadline: the server is gone, or it is this request that breaks it."""
        if self.tally.answered > others:
            return Refused(f"no answer in {seconds:.0f} s, while others came: {fault}", final=False)
        return BackendError(f"the server has not answered for {seconds:.0f} s: {fault}")

    async def _attempt(self, call: Call, stream: bool, went: float) -> tuple[Message, Usage]:
        """One call there and back, paid for; the gate was passed at ``went``."""
        most = self.options.price(call.most_prompt, call.most_new)
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._reserve(most)
            charged, lost = most, True  # unless the server is known to have taken less
            try:
                self.tally.calls += 1
                self.flying.add(task)
                reply = await self.transport.post(call.path, call.body(stream=stream))
                self.pace.heed(reply.headers)
                message = read(reply, call.prompts)
                used, at_most = self.codec.usage(call, message)
                charged, lost = self.options.price(at_most.prompt, at_most.completion), False
            except Passing as fault:
                charged = most if fault.charged else 0.0
                if fault.busy:
                    self.pace.turned_away(went)
                raise
            except Refused as refusal:
                charged, lost = self.options.price(refusal.prompt_tokens, refusal.completion_tokens), False
                raise
            except BackendError:
                charged, lost = 0.0, False
                raise
            finally:
                self.flying.discard(task)
                self.budget.settle(most, charged, lost=lost)
                self._settled.set()
        finally:
            self.pace.leave()
        self.pace.answered(went, 1 + used.completion + used.prompt / 20)
        if message.model is not None:
            self.tally.models[message.model] += 1
        return message, used

    async def _reserve(self, usd: float) -> None:
        """Set money aside; what is in flight may give some back.

        Raises:
            BudgetError: nothing is in flight any more, and it is not enough.
        """
        while not self.budget.reserve(usd):
            if self.stopping or self.budget.in_flight == 0:
                raise self.budget.spent_up(usd)
            self._settled.clear()
            await self._settled.wait()
