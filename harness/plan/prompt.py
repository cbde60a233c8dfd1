"""Prompts as lm-eval writes them, with the few-shot prefix rendered once instead of once a doc.

The pieces are lm-eval's own: ``build_qa_turn`` makes turns, ``construct_requests`` makes instances. What differs is who
chooses the shots (``harness.plan.shots``) and that a prefix is kept for all docs that share it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UserError
from harness.plan import shots
from harness.plan.request import Message, transcript


@dataclass(frozen=True)
class Style:
    """How a prompt becomes a conversation."""

    multiturn: bool
    """Whether each few-shot doc is a turn of its own; else they stand in the question's message."""
    continues: bool
    """Whether the backend can continue an assistant's turn; else its beginning ends the user's message."""


@dataclass(frozen=True)
class Prompt:
    """The text before the answer, split into what is shared and what is this doc's own."""

    prefix: str
    """System prompt, header and few-shots."""
    queries: tuple[str, ...]
    """The doc's own part: one text, or one a choice where the choices stand in the context."""
    conversations: tuple[tuple[Message, ...], ...] = ()
    """In chat form, what stands for prefix and queries: one conversation a query."""

    @property
    def contexts(self) -> list[str]:
        """The whole text before each answer."""
        if self.conversations:
            return [transcript(messages) for messages in self.conversations]
        return [self.prefix + query for query in self.queries]

    @property
    def sha256(self) -> str:
        """Hash of the whole prompt, all queries included."""
        text = "\0".join(self.contexts if self.conversations else [self.prefix, *self.queries])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class Prompter:
    """Renders the prompts of one task."""

    task: Any
    """The lm-eval task."""
    n: int
    """Few-shot docs before each question."""
    seed: int
    """Seed of the shots, where they are drawn."""
    sampler: str = "first_n"
    """``first_n`` or ``seeded``."""
    system: str | None = None
    """A system prompt, put before the task's own header."""
    _pool: list[Any] = field(default_factory=list, init=False)
    _shots: dict[int, list[Any]] = field(default_factory=dict, init=False)
    _twins: dict[str, set[int]] = field(default_factory=dict, init=False)
    _strangers: dict[Any, set[int]] = field(default_factory=dict, init=False)
    _prefixes: dict[tuple[str, tuple[int, ...]], str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.n == 0:
            return
        sampler = getattr(self.task, "sampler", None)
        self._pool = list(sampler.df) if sampler is not None else []
        if self.n > len(self._pool):
            raise UserError(
                f"{self.n} shots for task {self.task.task_name}, but its few-shot split "
                f"({self.task.fewshot_cfg.split or 'fixed samples'}) has {len(self._pool)} docs.",
                f"Set the shots of this benchmark to {len(self._pool)} or less.",
            )
        for i, doc in enumerate(self._pool):
            text = self.task.doc_to_text(doc, self.task.fewshot_cfg.doc_to_text)
            for mark in self._marks(doc, text, self._choices(doc)):
                self._twins.setdefault(mark, set()).add(i)

    def render(self, doc: dict[str, Any], doc_id: str) -> Prompt:
        """The prompt of one doc.

        Raises:
            UserError: too few docs are left once the asked one and its twins are left out.
        """
        text, choices = self.task.doc_to_text(doc), self._choices(doc)
        prefix = self._prefix(self._header(doc), self._choose(doc, self._marks(doc, text, choices), doc_id))
        turns = self._queries(text, choices, self.task.doc_to_prefix(doc))
        return Prompt(prefix, tuple("".join(turn.to_text() for turn in each) for each in turns))

    def converse(self, doc: dict[str, Any], doc_id: str, style: Style) -> Prompt:
        """The prompt of one doc as a conversation: the header is the system's message, as lm-eval has it.

        Raises:
            UserError: see :meth:`render`.
        """
        text, choices = self.task.doc_to_text(doc), self._choices(doc)
        header = self._header(doc).strip()
        system = (Message("system", header),) if header else ()
        shown = [
            turn for index in self._choose(doc, self._marks(doc, text, choices), doc_id) for turn in self._shot(index)
        ]
        queries = self._queries(text, choices, self.task.doc_to_prefix(doc))
        instruction = (self.task.config.metadata or {}).get("chat", {}).get("instruction")
        if instruction:
            for query in queries:
                query[0].content = f"{instruction}\n\n{query[0].content}"
        return Prompt("", (), tuple(system + _conversation(shown, query, style) for query in queries))

    def _header(self, doc: dict[str, Any]) -> str:
        from lm_eval.api.utils import maybe_delimit

        description = self.task.resolve_field(doc, self.task.config.description) or ""
        header: str = maybe_delimit(self.system, description, self.task.config.fewshot_delimiter)
        return header

    def _choices(self, doc: dict[str, Any]) -> list[str] | None:
        if self.task.config.doc_to_choice is None:
            return None
        choices: list[str] = self.task.doc_to_choice(doc)
        return choices

    def _marks(self, doc: dict[str, Any], text: object, choices: list[str] | None) -> list[str]:
        """What no shot may have in common with the asked doc: the question, and the cluster where its task names one.

        Docs of one cluster share a passage, or are one schema with two answers: one of them tells about the other.
        """
        cluster = (self.task.config.metadata or {}).get("cluster")
        shared = [json.dumps({"cluster": doc[cluster]}, default=str)] if cluster in doc else []
        return [identity(text, choices), *shared]

    def _choose(self, doc: dict[str, Any], marks: list[str], doc_id: str) -> tuple[int, ...]:
        """The indices, in the few-shot pool, of the docs shown: never the asked doc itself or a twin of it."""
        if self.n == 0:
            return ()
        banned = self._others(doc).union(*(self._twins.get(mark, ()) for mark in marks))
        try:
            return shots.choose(
                len(self._pool),
                self.n,
                sampler=self.sampler,
                seed=self.seed,
                task=self.task.task_name,
                doc_id=doc_id,
                banned=banned,
            )
        except ValueError as error:
            raise UserError(
                f"task {self.task.task_name}, doc {doc_id}: {error} that are not the asked one "
                "and share nothing with it.",
                f"Set the shots of this benchmark to {len(self._pool) - len(banned)} or less.",
            ) from error

    def _others(self, doc: dict[str, Any]) -> set[int]:
        """Docs of the pool that differ from this one in the column that shots share with it (``shots_share``)."""
        column = (self.task.config.metadata or {}).get("shots_share")
        if column is None:
            return set()
        value = doc[column]
        if value not in self._strangers:
            self._strangers[value] = {i for i, shot in enumerate(self._pool) if shot[column] != value}
        return self._strangers[value]

    def _prefix(self, header: str, chosen: tuple[int, ...]) -> str:
        key = (header, chosen)
        if key not in self._prefixes:
            turns = [turn for index in chosen for turn in self._shot(index)]
            self._prefixes[key] = header + "".join(turn.to_text() for turn in turns)
        return self._prefixes[key]

    def _shot(self, index: int) -> list[Any]:
        if index not in self._shots:
            task, own = self.task, self.task.fewshot_cfg
            doc = self._pool[index]
            text = task.doc_to_text(doc, own.doc_to_text)
            choices = task.doc_to_choice(doc, own.doc_to_choice) if own.doc_to_choice else None
            target = task.doc_to_target(doc, own.doc_to_target)
            if task.multiple_input:
                text, choices = choices[text] if choices else text, None
            self._shots[index] = task.build_qa_turn(
                q=text,
                c=choices,
                a=target,
                gen_prefix=task.resolve_field(doc, own.gen_prefix),
                tgt_delim=own.target_delimiter,
                few_delim=own.fewshot_delimiter,
            )
        return self._shots[index]

    def _queries(self, text: Any, choices: list[str] | None, prefix: str | None) -> list[list[Any]]:
        task = self.task
        if task.multiple_input:
            assert choices is not None
            return [task.build_qa_turn(q=choice, gen_prefix=prefix, tgt_delim="") for choice in choices]
        delimiter = task.config.target_delimiter
        return [task.build_qa_turn(q=text, c=choices, gen_prefix=prefix, tgt_delim=delimiter, few_delim="")]


def _conversation(shown: list[Any], query: list[Any], style: Style) -> tuple[Message, ...]:
    """Turns of lm-eval's as messages."""
    asked, begun = query[0], query[1:]
    if begun and not style.continues:
        asked, begun = type(asked)("user", "".join(turn.to_text() for turn in query)), []
    if style.multiturn:
        turns = [*shown, asked, *begun]
        return tuple(Message(turn.role, turn.content) for turn in turns)
    text = "".join(turn.to_text() for turn in shown) + asked.content
    return (Message("user", text), *(Message("assistant", turn.content) for turn in begun))


def identity(text: object, choices: list[str] | None) -> str:
    """What makes two docs the same question: the rendered question and its choices."""
    return json.dumps([text, choices], default=str)
