"""What every backend offers: it knows models and requests, and nothing of benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from harness.plan.request import Request
from harness.plan.tokens import Tokenizer


@dataclass(frozen=True)
class Scored:
    """The answer to a ``Score`` request."""

    logprobs: tuple[float, ...]
    """Natural log-likelihood of each continuation: the sum over its tokens."""
    greedy: tuple[bool, ...]
    """Whether each continuation is what greedy decoding would have said."""
    prompt_tokens: int
    """Tokens of the context and the continuations."""


@dataclass(frozen=True)
class Generated:
    """The answer to a ``Generate`` request."""

    text: str
    """The answer, cut before the first stop string."""
    finish: str
    """``stop`` (a stop string or the end of text) or ``length`` (cut by the limit)."""
    prompt_tokens: int
    """Tokens of the context."""
    completion_tokens: int
    """Tokens that were generated."""


Response = Scored | Generated


def to_json(response: Response) -> dict[str, Any]:
    """A response as plain data."""
    return asdict(response)


def from_json(data: dict[str, Any]) -> Response:
    """The response that :func:`to_json` wrote."""
    if "text" in data:
        return Generated(**data)
    return Scored(tuple(data["logprobs"]), tuple(data["greedy"]), data["prompt_tokens"])


@dataclass(frozen=True)
class Capabilities:
    """What a backend can answer, known before anything is spent."""

    loglikelihood: bool
    """Log-likelihoods of given continuations."""
    generation: bool
    """Generated text."""
    continues: bool = True
    """In a conversation, an assistant's turn that has begun."""


def model_kind(name: str) -> str:
    """``instruct`` or ``base``, by the words that model names carry."""
    return "instruct" if re.search(r"(?i)\b(instruct|chat|it|rlhf|dpo|sft)\b", name.replace("_", "-")) else "base"


class Backend(Protocol):
    """A model that answers requests."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can answer."""

    def check(self) -> None:
        """Find what the user must mend, before any model is loaded or money spent.

        Raises:
            UserError: a model folder without weights, a missing package, a wrong dtype …
        """

    def fingerprint(self) -> str:
        """Names the model and everything about it that can change an answer (weights, tokenizer, dtype)."""

    def describe(self) -> dict[str, Any]:
        """For the receipt: names, versions, settings. No secrets."""

    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer, if it is at hand without loading the model."""

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        """Answer the requests in any order, yielding each batch as soon as it is done.

        Raises:
            UserError: found while preparing, before the model is loaded.
            BackendError: the backend failed for good.
        """

    def took(self) -> dict[str, Any]:
        """For the receipt: what answering took so far beside time and price; empty where nothing is known."""

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for this many tokens; 0 where nothing is billed."""

    def tokens_per_second(self) -> float | None:
        """A rough speed on this machine, found without loading the model; None where nothing can be said."""
