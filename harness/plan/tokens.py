"""Token ids of requests: context and continuation are encoded together and split, and a merge at the border is noticed.

A prefix that many requests share is encoded once, up to a place where the tokenizer is shown to split: some tokenizers
merge the newlines between shots and question with what follows, so the prefix's end is never such a place by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from harness.errors import UserError
from harness.plan.request import Generate, Message, Request

Boundary = Literal["strict", "split"]
# what may follow a prefix; a cut is good only if the tokenizer splits there whatever comes next
PROBES = ("a", " a", "A", "1", " 1", "\n", "\n\nQ", " ", "  ", ".", "'s", "的", "：", "é", "\t", "")


@dataclass(frozen=True)
class Encoded:
    """A request as token ids."""

    context: list[int]
    """Ids before the continuations, never empty."""
    continuations: list[list[int]]
    """Ids of each continuation; none for a generation."""

    @property
    def tokens(self) -> int:
        """Ids to compute when every continuation is scored on its own, after its own copy of the context."""
        own = sum(len(c) for c in self.continuations)
        return len(self.context) * max(1, len(self.continuations)) + own


@dataclass
class Tokenizer:
    """A transformers tokenizer, with the rules of this project around it."""

    inner: Any
    """The ``PreTrainedTokenizerFast``."""
    boundary: Boundary = "strict"
    """``strict`` refuses a continuation that merges with its context; ``split`` cuts where the context would end."""
    _cuts: dict[str, tuple[int, list[int]]] = field(default_factory=dict, init=False)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Ids of all requests.

        Raises:
            UserError: with ``strict``, a continuation merges with the end of its context.
        """
        texts: list[str] = []
        heads: list[list[int]] = []
        bare: list[bool] = []

        head: list[int]

        def add(head: list[int], text: str, cut: bool) -> None:
            heads.append(head)
            texts.append(text)
            bare.append(cut)

        for request in requests:
            if request.messages:
                # the template writes the special tokens, and ends where an answer begins
                cut, head, context, trailing = 1, [], self.template(request.messages), ""
            else:
                cut, head = self._cut(request.prefix)
                context, trailing = (request.prefix + request.query)[cut:], ""
            if isinstance(request, Generate):
                add(head, context, cut > 0)
                continue
            if not request.messages or request.messages[-1].role == "assistant":
                # a trailing space of the context belongs to the continuation
                stripped = context.rstrip()
                context, trailing = stripped, context[len(stripped) :]
            add(head, context, cut > 0)
            for continuation in request.continuations:
                add(head, context + trailing + continuation, cut > 0)
        ids = self._batch(texts, bare)
        full = iter(head + tail for head, tail in zip(heads, ids, strict=True))
        return [self._assemble(request, full) for request in requests]

    def _assemble(self, request: Request, full: Iterable[list[int]]) -> Encoded:
        full = iter(full)
        context = next(full)
        if isinstance(request, Generate):
            return Encoded(context or [self.prefix_token], [])
        if not request.context:
            context = [self.prefix_token]
            whole = [self._strip_bos(next(full)) for _ in request.continuations]
            for text, ids in zip(request.continuations, whole, strict=True):
                _refuse_nothing(ids, text, request)
            return Encoded(context, whole)
        continuations = []
        for text in request.continuations:
            whole_ids = next(full)
            if whole_ids[: len(context)] != context and self.boundary == "strict":
                raise UserError(
                    f"the tokenizer merges the end of the context {request.context[-20:]!r} with the answer "
                    f"{text[:20]!r}, so the answer has no tokens of its own.",
                    "Set backend.boundary=split to cut where the context alone would end, as lm-eval does.",
                )
            continuations.append(whole_ids[len(context) :])
            _refuse_nothing(continuations[-1], text, request)
        return Encoded(context, continuations)

    def template(self, messages: Sequence[Message]) -> str:
        """A conversation in the model's own chat format, up to where its next answer begins.

        Raises:
            UserError: the tokenizer has no chat template, or it refuses the conversation.
        """
        from jinja2.exceptions import TemplateError

        if not self.inner.chat_template:
            raise UserError(
                "prompt.chat = true, but the model's tokenizer has no chat template.",
                "Set prompt.chat=false (base models continue plain text), or choose an instruct model.",
            )
        turns = [{"role": message.role, "content": message.text} for message in messages]
        begun = messages[-1].role == "assistant"
        try:
            return str(
                self.inner.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
                )
            )
        except TemplateError as error:
            raise UserError(
                f"prompt.chat = true, but the model's chat template refuses the conversation: {error}",
                "Set prompt.system=null or prompt.fewshot_as_multiturn=false, or prompt.chat=false.",
            ) from error

    @property
    def prefix_token(self) -> int:
        """What stands before an empty context: the model's BOS, or its EOS where it has none (Qwen2)."""
        bos = self.inner.bos_token_id
        return int(bos if bos is not None else self.inner.eos_token_id)

    def count(self, text: str) -> int:
        """Tokens of a text by itself."""
        return len(self.inner(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out."""
        return str(self.inner.decode(ids, skip_special_tokens=True))

    def _strip_bos(self, ids: list[int]) -> list[int]:
        return ids[1:] if ids and ids[0] == self.inner.bos_token_id else ids

    def _batch(self, texts: list[str], bare: list[bool]) -> list[list[int]]:
        """Encode many texts; the bare ones continue a head and get no special tokens of their own."""
        out: list[list[int]] = [[]] * len(texts)
        bos = self.inner.bos_token
        groups: dict[bool, list[int]] = {True: [], False: []}
        for i, (text, cut) in enumerate(zip(texts, bare, strict=True)):
            groups[cut or bool(bos and text.startswith(bos))].append(i)
        for plain, members in groups.items():
            if members:
                encoded = self.inner([texts[i] for i in members], add_special_tokens=not plain)["input_ids"]
                for i, ids in zip(members, encoded, strict=True):
                    out[i] = list(ids)
        return out

    def _cut(self, prefix: str) -> tuple[int, list[int]]:
        """How many characters of a prefix can be encoded once and for all, and their ids."""
        if prefix not in self._cuts:
            place = self._safe_place(prefix) if len(prefix) > 200 else 0
            head = self._batch([prefix[:place]], [False])[0] if place else []
            self._cuts[prefix] = (place, head)
        return self._cuts[prefix]

    def _safe_place(self, prefix: str) -> int:
        """A border between pre-tokens, a little before the end, at which joined and separate encoding agree."""
        splitter = getattr(getattr(self.inner, "backend_tokenizer", None), "pre_tokenizer", None)
        if splitter is None:
            return 0
        starts = [span[0] for _, span in splitter.pre_tokenize_str(prefix[-400:])]
        offset = max(0, len(prefix) - 400)
        for start in reversed(starts[1:-3]):
            place: int = offset + start
            word = prefix[place : place + 2].strip()
            if prefix[place - 1].isspace() or not word[:1].isalpha():
                continue
            head = self._batch([prefix[:place]], [False])[0]
            tails = self._batch([prefix[place:] + probe for probe in PROBES], [True] * len(PROBES))
            wholes = self._batch([prefix + probe for probe in PROBES], [False] * len(PROBES))
            if all(head + tail == whole for tail, whole in zip(tails, wholes, strict=True)):
                return place
            return 0
        return 0


def _refuse_nothing(ids: list[int], text: str, request: Request) -> None:
    """An answer without tokens has no log-likelihood."""
    if not ids:
        raise UserError(
            f"the answer {text[:20]!r} has no tokens after the context {request.context[-20:]!r}.",
            "Check doc_to_choice and doc_to_target of the task.",
        )


def distinct_tokens(encoded: Iterable[Encoded]) -> int:
    """Tokens that remain when every shared prefix is computed once: the nodes of the trie of all sequences."""
    rows = sorted(np.asarray(e.context + c, dtype=">u4").tobytes() for e in encoded for c in (e.continuations or [[]]))
    total = len(rows[0]) // 4 if rows else 0
    for before, row in pairwise(rows):
        total += len(row) // 4 - _common(before, row)
    return total


def _common(a: bytes, b: bytes) -> int:
    """Leading tokens that two rows share."""
    n = min(len(a), len(b)) // 4
    left = np.frombuffer(a, dtype=">u4", count=n)
    right = np.frombuffer(b, dtype=">u4", count=n)
    differ = left != right
    return int(differ.argmax()) if differ.any() else n
