"""Answers in the making: where they end, and their text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.backends.base import Generated
from harness.errors import UserError
from harness.plan.request import Generate
from harness.plan.tokens import Encoded, Tokenizer

LOST = "\N{REPLACEMENT CHARACTER}"  # what decoding makes of a part of a character


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the earliest stop string."""
    places = [place for s in stop if s and (place := text.find(s)) >= 0]
    return text[: min(places)] if places else text


class Texts:
    """Reads texts off token ids, for all answers of one model."""

    def __init__(
        self, decode: Callable[[Sequence[int]], str], special: Mapping[int, str], ends: frozenset[int]
    ) -> None:
        self.decode = decode
        """The text of ids, special tokens left out."""
        self._special = special
        self._ends = ends
        self._alone: dict[int, str] = {}

    def ends(self, stop: Sequence[str]) -> frozenset[int]:
        """Ids that end a text: the model's own, and stops that are special tokens (decoding leaves them out)."""
        return self._ends | {id_ for id_, text in self._special.items() if text in stop}

    def is_special(self, token: int) -> bool:
        """Whether decoding leaves the token out."""
        return token in self._special

    def can_complete(self, token: int, last: frozenset[str]) -> bool:
        """Whether the token may bring one of these characters, by itself or as the rest of one."""
        text = self._decode_alone(token)
        return LOST in text or not last.isdisjoint(text)

    def tail(self, ids: Sequence[int], n: int) -> str:
        """The text of the last n ids and of those before them that may belong to their first character.

        Some tokenizers lose all neighbouring bytes if one of them is no part of a character.
        """
        start = max(0, len(ids) - n)
        while start and LOST in self._decode_alone(ids[start]):
            start -= 1
        return self.decode(ids[start:])

    def _decode_alone(self, token: int) -> str:
        text = self._alone.get(token)
        if text is None:
            text = self._alone[token] = self.decode([token])
        return text


@dataclass(eq=False)
class Answer:
    """One answer in the making."""

    index: int
    """Index of the request."""
    request: Generate
    """What was asked."""
    context: list[int]
    """Prompt ids, cut from the left where the model is too short."""
    texts: Texts
    """Reads its text."""
    new: list[int] = field(default_factory=list)
    """Ids generated so far."""
    finish: str | None = None
    """``stop`` or ``length`` when the answer is complete."""

    def __post_init__(self) -> None:
        stop = [s for s in self.request.stop if s]
        self._ends = self.texts.ends(stop)
        self._stop = stop
        self._visible: list[int] = []
        # a stop string of n bytes lies within the last n tokens; some more, since decoding may eat the first ones
        self._window = max((len(s.encode()) for s in stop), default=0) + 8
        # some tokenizers drop a space of a token by itself
        self._always = any(s[-1].isspace() and s[-1] != "\n" for s in stop)
        self._last = frozenset(s[-1] for s in stop)
        self._random: np.random.Generator | None = None
        self._drawn = (-1, 0.0)

    def push(self, token: int) -> None:
        """Take the next token and see whether the answer ends."""
        self.new.append(token)
        if token in self._ends:
            self.finish = "stop"
            return
        if not self.texts.is_special(token):
            self._visible.append(token)
            if self._stops(token):
                self.finish = "stop"
                return
        if len(self.new) >= self.request.max_tokens:
            self.finish = "length"

    def _stops(self, token: int) -> bool:
        """Whether a stop string is complete with this token: it can only be if the token brings its last character."""
        if not self._stop or not (self._always or self.texts.can_complete(token, self._last)):
            return False
        tail = self.texts.tail(self._visible, self._window)
        if not any(s in tail for s in self._stop):
            return False
        # what begins in the middle may decode differently
        whole = self.texts.decode(self._visible)
        return any(s in whole for s in self._stop)

    def answer(self) -> Generated:
        """The finished answer."""
        assert self.finish is not None
        text = cut(self.texts.decode(self._visible), self._stop)
        return Generated(text, self.finish, len(self.context), len(self.new))

    def draw(self) -> float:
        """A number from 0 to 1 for the next token, of this answer's own random stream, whatever else is in the batch.

        Asked again before the token is there, when a pass is repeated, it is the same.
        """
        if self._random is None:
            self._random = np.random.Generator(np.random.PCG64(self.request.sampling.seed))
        if self._drawn[0] != len(self.new):
            self._drawn = len(self.new), float(self._random.random())
        return self._drawn[1]


def make_answers(
    model: Any, tokenizer: Tokenizer, requests: Sequence[Generate], encoded: Sequence[Encoded], max_length: int
) -> list[Answer]:
    """An answer to begin for each request; what the model has no room for is cut from the left of its context.

    Raises:
        UserError: an answer may be so long that there is no room for a context.
    """
    longest = max(request.max_tokens for request in requests)
    if longest >= max_length:
        raise UserError(
            f"generation.max_tokens = {longest} leaves no room for a prompt: the model sees {max_length} tokens.",
            f"Lower generation.max_tokens; {max_length // 2} leaves half for the prompt.",
        )
    special = {id_: str(token) for id_, token in tokenizer.inner.added_tokens_decoder.items() if token.special}
    texts = Texts(tokenizer.decode, special, end_tokens(model, tokenizer))
    return [
        Answer(index, request, ids.context[request.max_tokens - max_length :], texts)
        for index, (request, ids) in enumerate(zip(requests, encoded, strict=True))
    ]


def end_tokens(model: Any, tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that end a text: the model's own and the tokenizer's."""
    own = model.generation_config.eos_token_id
    ids = set(own if isinstance(own, list) else [] if own is None else [own])
    if tokenizer.inner.eos_token_id is not None:
        ids.add(tokenizer.inner.eos_token_id)
    return frozenset(ids)
