"""What every backend offers: it knows models and requests, and nothing of benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.plan.request import Request
from harness.plan.tokens import Tokenizer

if TYPE_CHECKING:
    from harness.collect.budget import Budget


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


@dataclass(frozen=True)
class Failed:
    """What stands for an answer that will not come: it is counted and shown, and never scored."""

    error: str
    """Why, in one line."""
    final: bool = True
    """Whether asking again is useless; what is not final is asked again by the next run."""
    prompt_tokens: int = 0
    """Tokens that were billed all the same."""
    completion_tokens: int = 0
    """Tokens that were generated and billed all the same."""


Response = Scored | Generated | Failed


def to_json(response: Response) -> dict[str, Any]:
    """A response as plain data."""
    return dict(vars(response))


def from_json(data: dict[str, Any]) -> Response:
    """The response that :func:`to_json` wrote."""
    if "text" in data:
        return Generated(**data)
    if "error" in data:
        return Failed(**data)
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
    letters: bool = False
    """Log-likelihoods of one-letter answers, where those of longer ones cannot be had."""
    loglikelihood_in_chat: bool = True
    """Whether ``loglikelihood`` holds in conversations, too."""
    letters_in_chat: bool = False
    """The same as ``letters``, in conversations."""
    plain: bool = True
    """Text that goes on from a plain prompt; else it takes part in conversations only."""
    formats: bool = False
    """Answers in a prescribed format (JSON, a schema)."""


def model_kind(name: str) -> str:
    """``instruct`` or ``base``, by the words that model names carry."""
    return "instruct" if re.search(r"(?i)\b(instruct|chat|it|rlhf|dpo|sft)\b", name.replace("_", "-")) else "base"


class Backend(Protocol):
    """A model that answers requests."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can answer."""

    def check(self, asks: bool = True) -> None:
        """Find what the user must mend, before any model is loaded or money spent.

        Args:
            asks: whether requests will be asked. A plan alone needs no vLLM, no Ray and no cluster: it may be made on
                a machine that has none of them.

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


@runtime_checkable
class Remote(Backend, Protocol):
    """A backend behind a network: what it can do is found out, and what it costs has a limit."""

    def probe(self, budget: Budget) -> None:
        """Find out by a few small requests what the server can do; ``capabilities`` are certain from then on.

        Raises:
            UserError: a missing key, or a server whose answers must not be believed.
            BackendError: the server cannot be reached, or refuses the key or the model.
        """

    def answer_within(self, requests: Sequence[Request], budget: Budget) -> Iterator[list[tuple[Request, Response]]]:
        """Like ``answer``, within a budget.

        Raises:
            BudgetError: the budget is spent; all answers that were paid have been yielded.
        """
