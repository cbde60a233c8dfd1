"""Answers as they are written on the wire: whole or in a stream, of conversations or of plain prompts.

What is no answer is never taken for one: a stream that breaks off, no choices, ``content: null``. A chunk that says
nothing new, a model's name that differs, a text in the last chunk and a missing ``usage`` are understood.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.backends.openai.faults import Passing, Refused, Reply, check_error, check_status

CUT = frozenset({"length", "max_tokens", "max_length", "model_length"})
UNFIT = {
    "content_filter": "the server's content filter cut the answer",
    "tool_calls": "the model called a tool",
    "function_call": "the model called a tool",
    "error": "the server gave up in the middle",
}


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counts them."""

    prompt: int
    """Of the prompt."""
    completion: int
    """Generated."""


@dataclass(frozen=True)
class Choice:
    """One answer as it came."""

    text: str
    """What was said."""
    finish: str
    """``stop`` or ``length``."""
    logprobs: dict[str, Any] | None
    """What the server says of the tokens' probabilities, in its own shape."""


@dataclass(frozen=True)
class Message:
    """What a reply holds."""

    choices: tuple[Choice, ...]
    """The answers, by index."""
    usage: Usage | None
    """None where the server does not say."""
    model: str | None
    """Who answered, as the server names it."""


def read(reply: Reply, expected: int = 1) -> Message:
    """The answers in a reply.

    Raises:
        Passing, Refused, BackendError: it holds none; see :mod:`harness.backends.openai.faults`.
    """
    check_status(reply)
    if reply.headers.get("content-type", "").startswith("text/event-stream") or reply.body.startswith(b"data:"):
        return _streamed(reply.body)
    data = _json(reply.body)
    check_error(data)
    found: dict[int, Choice] = {}
    listed = data.get("choices")
    usage = _usage(data.get("usage"))
    for place, choice in enumerate(listed if isinstance(listed, list) else []):
        index = choice.get("index", place)
        found[index] = _choice(choice, usage)
    if len(found) < expected:
        raise Passing("no choices", f"{len(found)} of {expected} answers in the reply", tries=6)
    return Message(tuple(found[index] for index in sorted(found)), usage, _name(data))


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:  # UnicodeDecodeError is one, too
        start = body[:60].decode("utf-8", "replace")
        raise Passing("malformed reply", f"the reply is no JSON: {' '.join(start.split())!r}") from error
    if not isinstance(data, dict):
        raise Passing("malformed reply", f"the reply is JSON of another kind: {body[:60]!r}")
    return data


def _choice(choice: dict[str, Any], usage: Usage | None) -> Choice:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    finish = _finish(choice.get("finish_reason"), usage)
    if finish is None:
        raise Passing("unfinished answer", "the reply does not say why its answer ends")
    if isinstance(message, dict) and message.get("refusal") and not text:
        raise _refused(f"the model refused: {str(message['refusal'])[:100]}", usage)
    if not isinstance(text, str):
        raise Passing("null content", "the reply's content is null, which is not an empty answer", tries=4)
    return Choice(text, finish, choice.get("logprobs"))


def _finish(reason: object, usage: Usage | None) -> str | None:
    if reason is None:
        return None
    if reason in UNFIT:
        raise _refused(UNFIT[str(reason)], usage)
    return "length" if reason in CUT else "stop"


def _refused(message: str, usage: Usage | None) -> Refused:
    usage = usage or Usage(0, 0)
    return Refused(message, prompt_tokens=usage.prompt, completion_tokens=usage.completion)


def _usage(data: object) -> Usage | None:
    """Tokens, if they are numbers of tokens."""
    if not isinstance(data, dict):
        return None
    prompt, completion = data.get("prompt_tokens"), data.get("completion_tokens", 0)
    if type(prompt) is not int or type(completion) is not int or prompt < 0 or completion < 0:
        return None
    return Usage(prompt, completion)


def _name(data: dict[str, Any]) -> str | None:
    return data["model"] if isinstance(data.get("model"), str) else None


def _streamed(body: bytes) -> Message:
    """The answer that a stream of chunks adds up to.

    A repeated chunk looks like a repeated word. It is taken for a word where the chunks are no more than the tokens
    that the server counts; else the same is asked for once more, not as a stream.
    """
    parts: list[str] = []
    finish = model = identity = None
    usage: Usage | None = None
    repeated = done = False
    before = b""
    for event in _events(body):
        if event == b"[DONE]":
            done = True
            break
        data = _json(event)
        check_error(data)
        if (name := data.get("id")) is not None:
            if identity is not None and name != identity:
                raise Passing("foreign chunk", "a chunk in the stream is of another answer")
            identity = name
        model = model or _name(data)
        usage = _usage(data.get("usage")) or usage
        for choice in data.get("choices") or ():
            if choice.get("index", 0) != 0 or finish is not None:
                continue
            delta = choice.get("delta")
            text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
            if isinstance(text, str) and text:
                parts.append(text)
                repeated = repeated or event == before
            finish = choice.get("finish_reason")
        before = event
    if finish is None:
        raise Passing("broken stream", f"the stream {'ends' if done else 'breaks off'} before the answer does")
    reason = _finish(finish, usage)
    assert reason is not None
    counted = usage is not None and len(parts) <= usage.completion
    if repeated and not (counted and usage is not None and len(parts) >= usage.completion - 1):
        raise Passing("repeated chunk", "a chunk came twice, or the model said the same twice", whole=True)
    if not parts and (usage is None or usage.completion > 1):
        raise Passing("null content", "the stream ends without any content", whole=True, tries=4)
    return Message((Choice("".join(parts), reason, None),), usage, model)


def _events(body: bytes) -> Iterator[bytes]:
    """The data of server-sent events; comments and other fields are left out."""
    lines: list[bytes] = []
    for line in body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            yield b"\n".join(lines)
            lines = []
    if lines:
        # no empty line behind it: it may be cut
        yield b"\n".join(lines)
