"""Log-likelihoods from what servers tell of tokens: echoed prompts, the most likely first tokens, or chosen tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.backends.base import Scored
from harness.backends.openai.faults import Refused
from harness.backends.openai.wire import Choice
from harness.plan.request import Score

BELOW = 1e-3  # a letter that is not listed is less likely than the last that is


def echo_fields(new: int) -> dict[str, Any]:
    """Ask for the log-probabilities of the prompt's own tokens."""
    return {"max_tokens": new, "echo": True, "logprobs": 1, "temperature": 0.0}


def plain_fields(top: int) -> dict[str, Any]:
    """Ask for the most likely next tokens after a prompt."""
    return {"max_tokens": 1, "logprobs": top, "temperature": 0.0}


def chat_fields(top: int) -> dict[str, Any]:
    """Ask for the most likely first tokens of a conversation's next turn."""
    return {"logprobs": True, "top_logprobs": top, "temperature": 0.0}


def chosen_fields(ids: Sequence[int]) -> dict[str, Any]:
    """Ask for the log-probabilities of these tokens after a prompt."""
    ids = list(dict.fromkeys(ids))
    told = {"logprob_token_ids": ids, "return_tokens_as_token_ids": True}
    return {"max_tokens": 1, "logprobs": len(ids), "temperature": 0.0, **told}


def echoed(
    request: Score, choices: Sequence[Choice], lengths: Sequence[int] | None, new: int, boundary: str, prompt: int
) -> Scored:
    """Sums over the tokens of each continuation.

    Args:
        request: what was asked.
        choices: one a continuation.
        lengths: tokens of each continuation, where they are known; else the tokens' places in the text tell.
        new: tokens that were generated behind each prompt.
        boundary: ``strict`` refuses a token that lies across the border, ``split`` counts it as the answer's.
        prompt: prompt tokens, for the response.

    Raises:
        Refused: the border cannot be found, or a token has no log-probability.
    """
    sums, greedy = [], []
    for number, choice in enumerate(choices):
        told = choice.logprobs or {}
        values = list(told.get("token_logprobs") or ())
        tops = list(told.get("top_logprobs") or [None] * len(values))
        if new:
            values, tops = values[:-new], tops[:-new]
        if lengths is not None:
            first = len(values) - lengths[number]
        else:
            offsets = list(told.get("text_offset") or ())[: len(values)]
            first = _border(request, offsets, boundary, prompt)
        own = values[first:]
        if first < 1 or not own or any(not isinstance(value, (int, float)) for value in own):
            raise Refused("the server does not tell the log-probability of every token", prompt_tokens=prompt)
        sums.append(float(sum(own)))
        best = [max(top.values()) if top else math.inf for top in tops[first:]]
        greedy.append(all(value >= most - 1e-9 for value, most in zip(own, best, strict=True)))
    return Scored(tuple(sums), tuple(greedy), prompt)


def _border(request: Score, offsets: Sequence[int], boundary: str, prompt: int) -> int:
    """The first token of the continuation; a trailing space of the context belongs to it."""
    border = len(request.context.rstrip()) if request.context.strip() else 0
    first = next((i for i, offset in enumerate(offsets) if offset >= border), len(offsets))
    if first < len(offsets) and offsets[first] == border:
        return first
    if boundary == "strict":
        raise Refused(
            f"the server's tokens merge the end of the context {request.context[-20:]!r} with the answer: "
            "backend.boundary=split counts such a token as the answer's",
            prompt_tokens=prompt,
        )
    return max(0, first - 1)


def letters(request: Score, told: dict[str, Any], prompt: int) -> Scored:
    """Each letter's log-probability as the first token; letters that are not listed stand just below the last that is.

    A token that is the letter with other spaces counts only where no letter is listed as it was asked for.

    Raises:
        Refused: no letter is among the tokens that the server lists.
    """
    listed = listing(told)
    if not listed:
        raise Refused("the server lists no first tokens", prompt_tokens=prompt)
    found: list[float | None] = [listed.get(text) for text in request.continuations]
    if all(value is None for value in found):
        loose: dict[str, list[float]] = {}
        for token, value in listed.items():
            loose.setdefault(token.strip(), []).append(value)
        found = [_together(loose.get(text.strip(), [])) for text in request.continuations]
    if all(value is None for value in found):
        raise Refused(f"none of the letters is among the {len(listed)} most likely tokens", prompt_tokens=prompt)
    best, floor = max(listed.values()), min(listed.values()) - BELOW
    values = tuple(floor if value is None else value for value in found)
    return Scored(values, tuple(value >= best for value in values), prompt)


def chosen(told: dict[str, Any], ids: Sequence[int], prompt: int) -> Scored:
    """The log-probabilities of these tokens.

    Raises:
        Refused: one is missing.
    """
    listed = listing(told)
    values = [listed.get(f"token_id:{id_}") for id_ in ids]
    if any(value is None for value in values):
        raise Refused("the server left out the log-probabilities of some tokens", prompt_tokens=prompt)
    said = first_token(told)
    known = tuple(float(value) for value in values if value is not None)
    return Scored(known, tuple(said == f"token_id:{id_}" for id_ in ids), prompt)


def listing(told: dict[str, Any]) -> dict[str, float]:
    """The first token's alternatives by text, from either shape of log-probabilities."""
    content = told.get("content")
    if isinstance(content, list) and content:
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in content[0].get("top_logprobs") or ()]
    else:
        tops = told.get("top_logprobs")
        pairs = list(tops[0].items()) if isinstance(tops, list) and tops and isinstance(tops[0], dict) else []
    found: dict[str, list[float]] = {}
    for token, value in pairs:
        if isinstance(token, str) and isinstance(value, (int, float)):
            found.setdefault(token, []).append(float(value))
    return {token: both for token, values in found.items() if (both := _together(values)) is not None}


def first_token(told: dict[str, Any]) -> str | None:
    """The first generated token, from either shape."""
    content, tokens = told.get("content"), told.get("tokens")
    if isinstance(content, list) and content:
        return str(content[0].get("token"))
    return str(tokens[0]) if isinstance(tokens, list) and tokens else None


def _together(values: Sequence[float]) -> float | None:
    """The log of the sum of probabilities."""
    if not values:
        return None
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
