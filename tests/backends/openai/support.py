"""Requests and backends for the fault server."""

from __future__ import annotations

import random
from typing import Any

from harness.backends.base import Response
from harness.backends.openai import OpenAIBackend, OpenAIOptions
from harness.backends.openai.found import Found
from harness.collect.budget import Budget
from harness.plan.request import Generate, Message, Request
from tests.backends.openai.server import BROKEN, HARMLESS, STREAMED, TURNED_AWAY, Script

CHAT = Found(chat=True)


def questions(n: int, *, stop: tuple[str, ...] = (), max_tokens: int = 64) -> list[Request]:
    return [
        Generate("", "", stop, max_tokens, messages=(Message("user", f"Question {i}: how many are {i} and 7?"),))
        for i in range(n)
    ]


def backend(base_url: str, found: Found | None = CHAT, **options: Any) -> OpenAIBackend:
    chosen: dict[str, Any] = {"timeout": 1.0, "deadline": 60.0, "usd_per_million_in": 1.0, "usd_per_million_out": 1.0}
    made = OpenAIBackend(OpenAIOptions(base_url=base_url, model="m", **(chosen | options)))
    made.found = found
    return made


def ask(made: OpenAIBackend, requests: list[Request], budget: Budget | None = None) -> dict[str, Response]:
    answered: dict[str, Response] = {}
    for batch in made.answer_within(requests, budget or Budget(None)):
        for request, response in batch:
            assert request.hash not in answered, "answered twice"
            answered[request.hash] = response
    return answered


def mix(seed: int, share: float = 0.2, *, stream: bool = False) -> Script:
    """A share of all calls fails, each in a way drawn by (seed, request, attempt)."""
    kinds = [*TURNED_AWAY, *BROKEN, *HARMLESS, *(STREAMED if stream else ())]
    # a body that is cut without an end of the connection is the same as a broken one
    kinds.remove("stall")

    def script(key: str, attempt: int) -> str | None:
        draw = random.Random(f"{seed} {key} {attempt}")
        return draw.choice(kinds) if draw.random() < share else None

    return script
