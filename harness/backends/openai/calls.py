"""Requests as calls of the API, and the replies as responses; text and numbers only, nothing is sent here."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.backends.base import Generated, Response
from harness.backends.openai import scores
from harness.backends.openai.faults import Refused
from harness.backends.openai.found import Found
from harness.backends.openai.options import OpenAIOptions
from harness.backends.openai.wire import Choice, Message, Usage
from harness.plan.request import Generate, Request, Score
from harness.plan.tokens import Encoded, Tokenizer

BYTES_PER_TOKEN = 3.5  # of text in UTF-8: a little less than Qwen2's and Llama 3's vocabularies reach on prose
OVERHEAD = 64  # tokens that a server may add to a prompt: its template's own system message
OVERHEAD_OF_A_MESSAGE = 16
ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # made once: json.dumps makes one for every text
ABSURD = 8  # times more tokens than there can be


def guess_tokens(text: str) -> int:
    """Tokens of a text, where no tokenizer is at hand."""
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    path: str
    """Below the base URL."""
    fields: dict[str, Any]
    """Its body."""
    most_prompt: int
    """Prompt tokens at most: a token is at least a byte."""
    most_new: int
    """Generated tokens at most."""
    prompts: int = 1
    """Answers expected."""

    def body(self, *, stream: bool) -> bytes:
        """As JSON."""
        fields = self.fields
        if stream:
            fields = {**fields, "stream": True, "stream_options": {"include_usage": True}}
        return ENCODE(fields).encode("utf-8", "replace")


@dataclass(frozen=True)
class Asked:
    """A request as calls, and how their answers make its response."""

    calls: tuple[Call, ...]
    """What has to be sent."""
    respond: Callable[[Sequence[Choice], Usage], Response]
    """From all answers in order and all tokens; raises ``Refused`` where the answers do not hold what was asked."""


@dataclass
class Codec:
    """Writes calls and reads replies for one model on one server."""

    options: OpenAIOptions
    """Model, prices, further fields."""
    found: Found
    """What the server takes."""
    tokenizer: Tokenizer | None = None
    """The model's tokenizer, if one was given."""
    counted: int = field(default=0, init=False)
    """Replies whose tokens were counted here, since the server did not, or absurdly."""

    def asked(self, request: Request) -> Asked:
        """What has to be sent for a request."""
        if isinstance(request, Generate):
            return Asked((self._generate(request),), functools.partial(_generated, request))
        found, context = self.found, request.context
        ids = self._ids(request)
        if ids is not None and found.token_ids and all(len(c) == 1 for c in ids.continuations):
            wanted = [continuation[0] for continuation in ids.continuations]
            call = self._call("/completions", {"prompt": ids.context, **scores.chosen_fields(wanted)}, context, 0, 1)
            return Asked((call,), lambda choices, used: scores.chosen(_told(choices, used), wanted, used.prompt))
        if found.echo and (ids is not None or not request.messages):
            return self._echo(request, ids)
        if request.messages:
            fields = {**self._conversation(request), **scores.chat_fields(found.top_chat)}
            call = self._call("/chat/completions", fields, context, len(request.messages), 1)
        else:
            fields = {"prompt": context, **scores.plain_fields(found.top_plain)}
            call = self._call("/completions", fields, context, 0, 1)
        return Asked((call,), lambda choices, used: scores.letters(request, _told(choices, used), used.prompt))

    def _ids(self, request: Request) -> Encoded | None:
        if self.tokenizer is None or not self.found.prompt_ids:
            return None
        return self.tokenizer.encode([request])[0]

    def _echo(self, request: Score, ids: Encoded | None) -> Asked:
        texts = [request.context + text for text in request.continuations]
        prompts: list[Any] = list(texts) if ids is None else [ids.context + c for c in ids.continuations]
        lengths = None if ids is None else [len(continuation) for continuation in ids.continuations]
        new, boundary = self.found.echo_new, self.options.boundary
        fields = scores.echo_fields(new)
        if self.found.prompt_lists:
            whole = self._call("/completions", {**fields, "prompt": prompts}, "".join(texts), len(texts), len(texts))
            calls: tuple[Call, ...] = (dataclasses.replace(whole, prompts=len(texts)),)
        else:
            calls = tuple(
                self._call("/completions", {**fields, "prompt": prompt}, text, 0, 1)
                for prompt, text in zip(prompts, texts, strict=True)
            )
        return Asked(
            calls,
            lambda choices, used: scores.echoed(request, choices, lengths, new, boundary, used.prompt),
        )

    def _conversation(self, request: Request) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "messages": [{"role": message.role, "content": message.text} for message in request.messages]
        }
        if request.messages[-1].role == "assistant" and self.found.continues == "when told":
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        return fields

    def _generate(self, request: Generate) -> Call:
        fields: dict[str, Any] = self._conversation(request) if request.messages else {"prompt": request.context}
        fields["temperature"] = request.sampling.temperature
        if request.stop:
            fields["stop"] = [*request.stop][: self.found.stops]
        sampling = request.sampling
        if not sampling.greedy:
            neutral = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
            fields |= {key: value for key in neutral if (value := getattr(sampling, key)) != neutral[key]}
            if self.found.seed:
                fields["seed"] = sampling.seed
        neutral = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
        fields |= {key: value for key in neutral if (value := getattr(sampling, key)) != neutral[key]}
        if request.response_format is not None:
            fields["response_format"] = json.loads(request.response_format)
        path = "/chat/completions" if request.messages else "/completions"
        return self._call(path, fields, request.context, len(request.messages), request.max_tokens)

    def _call(self, path: str, fields: dict[str, Any], text: str, messages: int, new: int) -> Call:
        limit = self.found.limit_key if path.startswith("/chat") else "max_tokens"
        whole = {"model": self.options.model, limit: new, **fields, **self.options.extra_body}
        most = len(text.encode("utf-8", "replace")) + OVERHEAD + OVERHEAD_OF_A_MESSAGE * messages
        return Call(path, whole, most, max(1, new))

    def usage(self, call: Call, message: Message) -> tuple[Usage, Usage]:
        """Tokens of an answered call: as they are reported, and the most that they can have been.

        The two differ where the server does not count, or absurdly.
        """
        said = message.usage
        if said is not None and self._believable(call, said):
            return said, said
        self.counted += 1
        text = "".join(choice.text for choice in message.choices)
        # the end of a text is a token as well
        most = Usage(call.most_prompt, min(call.most_new, len(text.encode("utf-8", "replace")) + 1))
        return Usage(self._count(call), min(call.most_new, self._tokens(text) + 1)), most

    def _tokens(self, text: str) -> int:
        return guess_tokens(text) if self.tokenizer is None else self.tokenizer.count(text)

    def _count(self, call: Call) -> int:
        """Prompt tokens, without a template's own."""
        if "messages" in call.fields:
            return sum(self._tokens(message["content"]) + 4 for message in call.fields["messages"])
        prompt = call.fields["prompt"]
        prompts = prompt if call.prompts > 1 else [prompt]
        return sum(self._tokens(p) if isinstance(p, str) else len(p) for p in prompts)

    def _believable(self, call: Call, usage: Usage) -> bool:
        most = ABSURD * (call.most_prompt + call.most_new)
        return 0 < usage.prompt <= most and usage.completion <= max(most, self.options.context or 0)


def _told(choices: Sequence[Choice], used: Usage) -> dict[str, Any]:
    """What is told of the one answer's tokens."""
    told = choices[0].logprobs
    if told is None:
        raise Refused("the server left out the log-probabilities", prompt_tokens=used.prompt)
    return told


def _generated(request: Generate, choices: Sequence[Choice], used: Usage) -> Response:
    text, finish = cut(choices[0].text, request.stop)
    return Generated(text, finish or choices[0].finish, used.prompt, used.completion)


def cut(text: str, stop: Sequence[str]) -> tuple[str, str | None]:
    """The text before the earliest stop string, and ``stop`` if there was one: servers take few of them, or none."""
    places = [place for s in stop if s and (place := text.find(s)) >= 0]
    return (text[: min(places)], "stop") if places else (text, None)
