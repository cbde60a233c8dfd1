"""Requests as the engine is asked them, and its outputs as responses.

A question whose choices are one token each is one engine request that generates one token and reads the choices'
log-probabilities there. Answers of several tokens are engine requests of their own, one an answer, side by side so that
they read each other's prefixes from the cache: the engine is either made to say the answer (``forced``) or asked for
the log-probabilities of its prompt (``prompt_logprobs``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.backends.base import Generated, Scored
from harness.backends.torch.answers import cut
from harness.backends.torch.reads import windows
from harness.errors import BackendError
from harness.plan.request import Generate, Score
from harness.plan.tokens import Encoded, Tokenizer

Way = Literal["one_token", "forced", "prompt_logprobs", "text"]
# the order of work: one kind after the other
WAYS: tuple[Way, ...] = ("one_token", "forced", "prompt_logprobs", "text")
CHOICES = 128  # vLLM's limit on the tokens whose log-probabilities one request reads
# a generated token costs about as much as this many tokens of a prompt: measured 4.5 on a CPU, more on a GPU whose
# batch is small
GENERATED_COST = 8


@dataclass(frozen=True)
class Ask:
    """One request to the engine."""

    owner: int
    """Index of the request that it belongs to."""
    part: int
    """Which of that request's continuations."""
    way: Way
    """How it is answered."""
    prompt: tuple[int, ...]
    """Token ids that go in."""
    wanted: tuple[int, ...]
    """Ids whose log-probabilities are read: the choices, or the tokens of the answer."""


def asks_of(owner: int, request: Score | Generate, ids: Encoded, limit: int, way: str) -> list[Ask]:
    """What the engine is asked for a request; what it has no room for is cut from the left of the context.

    Args:
        owner: index of the request.
        request: the request.
        ids: its tokens.
        limit: the engine's longest sequence, in tokens.
        way: ``forced``, ``prompt_logprobs`` or ``auto``.
    """
    if isinstance(request, Generate):
        return [Ask(owner, 0, "text", tuple(ids.context[-max(1, limit - request.max_tokens) :]), ())]
    choices = [c[0] for c in ids.continuations]
    if len(choices) > 1 and all(len(c) == 1 for c in ids.continuations) and len(set(choices)) <= CHOICES:
        return [Ask(owner, 0, "one_token", tuple(ids.context[-limit:]), tuple(choices))]
    asks = []
    for part, answer in enumerate(ids.continuations):
        for window in windows(ids.context, answer, limit):
            wanted = tuple(window.targets)
            prompt = tuple(window.tokens[: len(window.tokens) - len(wanted) + 1])
            chosen = _cheaper(len(prompt), len(wanted)) if way == "auto" else way
            if chosen == "forced":
                asks.append(Ask(owner, part, "forced", prompt, wanted))
            else:
                asks.append(Ask(owner, part, "prompt_logprobs", prompt + wanted, wanted))
    return asks


def _cheaper(context: int, answer: int) -> Way:
    """Saying the answer after a cached context, or computing the whole prompt."""
    return "forced" if answer * GENERATED_COST < context + answer else "prompt_logprobs"


def score_params(ask: Ask, forcing: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of vLLM's ``SamplingParams`` that read ``ask.wanted``; ``forcing`` makes the engine say it."""
    quiet = {"temperature": 0.0, "detokenize": False, "ignore_eos": True}
    if ask.way == "one_token":
        return {**quiet, "max_tokens": 1, "logprob_token_ids": list(dict.fromkeys(ask.wanted))}
    if ask.way == "forced":
        return {**quiet, "max_tokens": len(ask.wanted), "logprobs": 0, **forcing}
    return {**quiet, "max_tokens": 1, "prompt_logprobs": 0}


def text_params(request: Generate, special: Mapping[str, int]) -> dict[str, Any]:
    """The same for a text; stops that are special tokens are given by their ids, since texts leave them out."""
    sampling = request.sampling
    drawn: dict[str, Any] = {"temperature": 0.0}
    if not sampling.greedy:
        drawn = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p", "seed")}
    stop = [s for s in request.stop if s]
    return {
        **drawn,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "max_tokens": request.max_tokens,
        "stop": stop,
        "stop_token_ids": [special[s] for s in stop if s in special],
    }


Read = tuple[int, float, bool]
"""Which continuation, a log-probability of it or of a part of it, and whether greedy decoding would have said that."""


def read_score(ask: Ask, output: Any) -> list[Read]:
    """The log-probabilities in a finished ``RequestOutput``.

    Raises:
        BackendError: the engine said other tokens than it was made to.
    """
    if ask.way == "one_token":
        said = output.outputs[0].token_ids[0]
        found = output.outputs[0].logprobs[0]
        return [(part, found[i].logprob, i == said) for part, i in enumerate(ask.wanted)]
    if ask.way == "forced":
        if tuple(output.outputs[0].token_ids) != ask.wanted:
            raise BackendError(
                "vLLM did not say the answer that it was made to say; set backend.scoring=prompt_logprobs"
            )
        rows = output.outputs[0].logprobs
    else:
        rows = output.prompt_logprobs[-len(ask.wanted) :]
    found = [row[i] for row, i in zip(rows, ask.wanted, strict=True)]
    return [(ask.part, sum(f.logprob for f in found), all(f.rank == 1 for f in found))]


def scored(reads: Sequence[Read], ids: Encoded) -> Scored:
    """The response to a request from all that was read for it, in any order."""
    values, greedy = [0.0] * len(ids.continuations), [True] * len(ids.continuations)
    for part, value, best in sorted(reads):
        values[part] += value
        greedy[part] = greedy[part] and best
    return Scored(tuple(values), tuple(greedy), len(ids.context) + sum(map(len, ids.continuations)))


def generated(request: Generate, output: Any, tokenizer: Tokenizer) -> Generated:
    """The response to a request for text: our own decoding of the engine's tokens, cut before the first stop."""
    said = output.outputs[0]
    whole = tokenizer.decode(said.token_ids)
    text = cut(whole, request.stop)
    finish = "length" if said.finish_reason == "length" and text == whole else "stop"
    return Generated(text, finish, len(output.prompt_token_ids), len(said.token_ids))
