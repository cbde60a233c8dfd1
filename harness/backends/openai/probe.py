"""What can this server do? A few requests of some tokens each tell; nothing that is not seen is believed.

Servers ignore what they do not know, so that an accepted parameter says nothing: what counts is what comes back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from harness.backends.openai import scores
from harness.backends.openai.calls import OVERHEAD
from harness.backends.openai.faults import Passing, Refused
from harness.backends.openai.found import Found
from harness.backends.openai.options import OpenAIOptions
from harness.backends.openai.transport import Transport
from harness.backends.openai.wire import Message, read
from harness.collect.budget import Budget
from harness.errors import BackendError, UserError
from harness.plan.tokens import Tokenizer

TRIES = 5
TOPS = (20, 5)  # what servers allow at most, by default: vLLM and OpenAI's chat, OpenAI's completions
MANY_STOPS = 16
PASSAGE = "Once upon a time, there was a little girl who lived in a small house near the"
FOLLOWING = 8  # tokens whose log-probabilities are compared
TOLERANCE = 0.35  # natural logs: what the numerics of different batches move one token's in bfloat16
COUNTING = [
    {"role": "user", "content": "Count from 1 to 9: only the digits, with a space between them."},
    {"role": "assistant", "content": "1 2 3 4 5"},
]
NEW = 16  # generated tokens that one question may take


class _No(Exception):
    """The server cannot do that."""


async def probe(options: OpenAIOptions, transport: Transport, budget: Budget, tokenizer: Tokenizer | None) -> Found:
    """Ask one thing after the other.

    Raises:
        UserError: its log-probabilities are wrong, or the budget does not allow the questions.
        BackendError: it cannot be reached, or refuses key or model.
    """
    prober = _Prober(options, transport, budget)
    found = Found()
    if options.api in ("auto", "chat"):
        found = await prober.chat(found)
    if options.api in ("auto", "completions"):
        found = await prober.completions(found, tokenizer)
    if not found.chat and not found.plain:
        raise BackendError(f"the server at {options.base_url} answers neither conversations nor prompts: "
                           f"{'; '.join(found.notes)}")  # fmt: skip
    return found


class _Prober:
    def __init__(self, options: OpenAIOptions, transport: Transport, budget: Budget) -> None:
        self.options, self.transport, self.budget = options, transport, budget

    async def chat(self, found: Found) -> Found:
        """Conversations: at all, then what may come with them."""
        hello: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hi."}], "temperature": 0.0}
        path, key = "/chat/completions", "max_tokens"
        try:
            try:
                message = await self._ask(path, {**hello, key: 1})
            except _No as no:
                if "max_completion_tokens" not in str(no):
                    raise
                key = "max_completion_tokens"
                message = await self._ask(path, {**hello, key: NEW})
        except _No as no:
            return _noted(found, f"chat: {no}")
        found = dataclasses.replace(found, chat=True, limit_key=key, model=message.model)
        short = {**hello, key: 1}
        for top in TOPS:
            told = await self._try(path, {**short, **scores.chat_fields(top)})
            listed = scores.listing(told.choices[0].logprobs or {}) if told is not None else {}
            if len(listed) >= min(top, 5):
                found = dataclasses.replace(found, top_chat=min(top, len(listed)))
                break
        found = await self._extras(found, path, short)
        return await self._continues(found)

    async def _extras(self, found: Found, path: str, short: Mapping[str, Any]) -> Found:
        """Stops, seeds and several answers: all at once, and one by one where that is refused."""
        fields: dict[str, dict[str, Any]] = {
            "stops": {"stop": [f"<{i}>" for i in range(MANY_STOPS)]},
            "seed": {"seed": 1},
            "n": {"n": 2, "temperature": 1.0},
        }
        together = await self._try(path, {**short, **{k: v for one in fields.values() for k, v in one.items()}})
        answers = dict.fromkeys(fields, together)
        if together is None:
            answers = {name: await self._try(path, {**short, **one}) for name, one in fields.items()}
        several = answers["n"]
        stream = await self._try(path, {**short, "stream": True, "stream_options": {"include_usage": True}})
        return dataclasses.replace(
            found,
            stops=MANY_STOPS if answers["stops"] is not None else found.stops,
            seed=answers["seed"] is not None,
            n=several is not None and len(several.choices) == 2,
            usage_in_streams=stream is not None and stream.usage is not None,
        )

    async def _continues(self, found: Found) -> Found:
        """Whether an assistant's turn that has begun goes on: after 5 comes 6."""
        told = {"continue_final_message": True, "add_generation_prompt": False}
        ways: tuple[tuple[Literal["by itself", "when told"], dict[str, bool]], ...] = (
            ("by itself", {}),
            ("when told", told),
        )
        for how, more in ways:
            fields = {"messages": COUNTING, "temperature": 0.0, found.limit_key: 4, **more}
            message = await self._try("/chat/completions", fields)
            if message is not None and message.choices[0].text.lstrip().startswith("6"):
                return dataclasses.replace(found, continues=how)
        return found

    async def completions(self, found: Found, tokenizer: Tokenizer | None) -> Found:
        """Plain prompts: at all, then log-probabilities of what follows, of the prompt itself, of chosen tokens."""
        path = "/completions"
        plain: dict[str, Any] = {"prompt": PASSAGE, "max_tokens": FOLLOWING, "temperature": 0.0}
        message, top = None, 0
        for top in (*TOPS, 0):
            message = await self._try(path, {**plain, "logprobs": top} if top else plain)
            if message is not None:
                break
        if message is None:
            return _noted(found, "completions: refused")
        found = dataclasses.replace(found, plain=True, model=found.model or message.model)
        told = message.choices[0].logprobs or {}
        listed = scores.listing(told)
        if top and len(listed) >= min(top, 5):
            found = dataclasses.replace(found, top_plain=min(top, len(listed)))
        if not found.chat:
            found = await self._extras(found, path, {**plain, "max_tokens": 1})
        text = message.choices[0].text
        found = await self._echo(found, PASSAGE, text, told)
        if tokenizer is not None:
            found = await self._ids(found, tokenizer, text, told)
        return found

    async def _echo(self, found: Found, prompt: str, text: str, told: Mapping[str, Any]) -> Found:
        """Log-probabilities of a prompt's own tokens, if they are those that the same tokens had when generated.

        Raises:
            UserError: they are others.
        """
        for new in (0, 1):
            message = await self._try("/completions", {"prompt": prompt + text, **scores.echo_fields(new)})
            echoed = (message.choices[0].logprobs or {}) if message is not None else {}
            values = list(echoed.get("token_logprobs") or ())
            if message is None or len(values) <= FOLLOWING or not message.choices[0].text.startswith(prompt):
                continue
            values = values[:-1] if new else values
            generated = _values(told)
            # the end may be tokenized otherwise than it was generated, so the tokens must be the same
            tokens, own = list(echoed.get("tokens") or ())[: len(values)], list(told.get("tokens") or ())
            same = len(own) > 2 and tokens[-len(own) :] == own
            if not same or len(generated) != len(own):
                return _noted(found, "echo: its tokens cannot be compared with generated ones")
            worst = max(abs(a - b) for a, b in zip(values[-len(own) :], generated, strict=True))
            if worst > TOLERANCE:
                raise UserError(
                    f"backend.base_url = {self.options.base_url}: the log-probabilities that it gives of a prompt are "
                    f"not those of the same tokens when it writes them (they differ by {worst:.1f}; some servers "
                    "return them off by one).",
                    "Set prompt.form=generation and backend.api=chat, or use another server.",
                )
            lists = await self._try("/completions", {"prompt": [prompt, prompt + text], **scores.echo_fields(new)}, 2)
            return dataclasses.replace(found, echo=True, echo_new=new, prompt_lists=lists is not None)
        return found

    async def _ids(self, found: Found, tokenizer: Tokenizer, text: str, told: Mapping[str, Any]) -> Found:
        """Prompts as token ids, and the log-probabilities of chosen tokens."""
        ids = tokenizer.inner(PASSAGE)["input_ids"]
        message = await self._try("/completions", {"prompt": ids, "max_tokens": FOLLOWING, "temperature": 0.0})
        if message is None or message.choices[0].text != text:
            return found
        found = dataclasses.replace(found, prompt_ids=True)
        wanted = [ids[0], ids[-1]]
        chosen = await self._try("/completions", {"prompt": ids, **scores.chosen_fields(wanted)})
        listed = scores.listing(chosen.choices[0].logprobs or {}) if chosen is not None else {}
        return dataclasses.replace(found, token_ids=all(f"token_id:{id_}" in listed for id_ in wanted))

    async def _try(self, path: str, fields: Mapping[str, Any], expected: int = 1) -> Message | None:
        try:
            return await self._ask(path, fields, expected)
        except _No:
            return None

    async def _ask(self, path: str, fields: Mapping[str, Any], expected: int = 1) -> Message:
        """One question; what may pass is tried again.

        Raises:
            _No: the server refuses the question.
            UserError: the budget does not allow it.
            BackendError: nothing can be asked.
        """
        body = json.dumps({"model": self.options.model, **fields, **self.options.extra_body}).encode()
        most = self.options.price(len(body) + OVERHEAD, NEW * 2)
        for attempt in range(TRIES):
            if not self.budget.reserve(most):
                raise self.budget.spent_up(most)
            charged = most
            try:
                reply = await self.transport.post(path, body)
                if reply.status in (404, 405, 501) and self.options.api == "auto":
                    charged = 0.0
                    raise _No(f"HTTP {reply.status}")
                if reply.status == 400 or reply.status == 422:
                    charged = 0.0
                return read(reply, expected)
            except Refused as refusal:
                raise _No(str(refusal)) from refusal
            except Passing as fault:
                charged = most if fault.charged else 0.0
                # an odd answer is the server's way to say no
                if fault.kind in ("no choices", "null content", "malformed reply") and attempt >= 1:
                    raise _No(str(fault)) from fault
                if attempt + 1 == TRIES:
                    raise BackendError(f"the server at {self.options.base_url} does not answer: {fault}") from fault
                wait = fault.wait
            finally:
                self.budget.settle(most, charged)
            await asyncio.sleep(wait if wait is not None else 0.5 * 2**attempt)
        raise AssertionError("unreachable")


def _values(told: Mapping[str, Any]) -> list[float]:
    """Log-probabilities of generated tokens."""
    return [float(value) for value in told.get("token_logprobs") or () if isinstance(value, (int, float))]


def _noted(found: Found, note: str) -> Found:
    return dataclasses.replace(found, notes=(*found.notes, note))
