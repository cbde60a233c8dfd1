"""What is asked of a model: log-likelihoods of continuations, or a generated text.

Two kinds are enough. A request is a value: it knows nothing of benchmarks, and its hash covers everything that can
change the answer and nothing else, so that equal questions are asked once wherever they come from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    text: str
    """What is said."""


@dataclass(frozen=True)
class Score:
    """Log-likelihoods of each continuation after one context.

    The context is ``prefix + query``; the split only says which part is shared with other requests, and does not
    enter the hash. An empty context scores the continuation from the model's prefix token on.
    """

    prefix: str
    """The part of the context that other requests share (header and few-shots)."""
    query: str
    """The rest of the context: the question itself."""
    continuations: tuple[str, ...]
    """The texts to score, each directly after the context."""
    messages: tuple[Message, ...] = ()
    """In chat form, the conversation that stands for prefix and query; a last assistant's turn is continued."""

    @property
    def context(self) -> str:
        """The whole text before the continuations."""
        return transcript(self.messages) or self.prefix + self.query

    @cached_property
    def hash(self) -> str:
        """Hex SHA-256 of the kind, the context and the continuations."""
        return _digest(self, ["score", list(self.continuations)])


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the default is greedy."""

    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with at least this mass."""
    top_k: int = 0
    """Keep this many most likely tokens; 0 keeps all."""
    min_p: float = 0.0
    """Keep tokens with at least this share of the most likely one's probability."""
    repetition_penalty: float = 1.0
    """Divide the logits of tokens seen before by this (1 changes nothing)."""
    presence_penalty: float = 0.0
    """Subtract this from the logits of tokens generated before."""
    frequency_penalty: float = 0.0
    """Subtract this from the logits of tokens generated before, once for each time."""
    seed: int = 0
    """Seed of this request's own random stream; unused when greedy."""

    @property
    def greedy(self) -> bool:
        """Whether no randomness is involved."""
        return self.temperature == 0.0


@dataclass(frozen=True)
class Generate:
    """A text that continues the context, up to a stop string, the end of the text, or a number of tokens."""

    prefix: str
    """The part of the context that other requests share (header and few-shots)."""
    query: str
    """The rest of the context: the question itself."""
    stop: tuple[str, ...]
    """Strings that end the answer; they are not part of it."""
    max_tokens: int
    """The most new tokens; an answer cut by it is marked as truncated."""
    sampling: Sampling = Sampling()
    """How tokens are chosen."""
    messages: tuple[Message, ...] = ()
    """In chat form, the conversation that stands for prefix and query; a last assistant's turn is continued."""
    response_format: str | None = None
    """A format that the answer must have, as JSON text (``{"type": "json_object"}``)."""

    @property
    def context(self) -> str:
        """The whole text before the answer."""
        return transcript(self.messages) or self.prefix + self.query

    @cached_property
    def hash(self) -> str:
        """Hex SHA-256 of the kind, the context, the stops, the limit and what changes how tokens are chosen."""
        sampling = self.sampling
        chosen: list[object] = [sampling.repetition_penalty]
        if not sampling.greedy:
            chosen += [sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p, sampling.seed]
        if sampling.presence_penalty or sampling.frequency_penalty:
            chosen.append({"presence": sampling.presence_penalty, "frequency": sampling.frequency_penalty})
        if self.response_format is not None:
            chosen.append({"format": self.response_format})
        return _digest(self, ["generate", sorted(self.stop), self.max_tokens, chosen])


Request = Score | Generate


def transcript(messages: tuple[Message, ...]) -> str:
    """A conversation as text for people; nothing for none."""
    return "\n".join(f"<{message.role}>\n{message.text}" for message in messages)


def _digest(request: Request, rest: list[object]) -> str:
    # surrogatepass: a data set may hold a lone surrogate, and it must not stop the plan
    digest = hashlib.sha256(request.prefix.encode("utf-8", "surrogatepass"))
    digest.update(request.query.encode("utf-8", "surrogatepass"))
    digest.update(b"\0")
    if request.messages:
        rest = [*rest, [asdict(message) for message in request.messages]]
    digest.update(json.dumps(rest).encode())
    return digest.hexdigest()
