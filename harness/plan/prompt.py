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


@dataclass(frozen=True)
class Prompt:
    """The text before the answer, split into what is shared and what is this doc's own."""

    prefix: str
    """System prompt, header and few-shots."""
    queries: tuple[str, ...]
    """The doc's own part: one text, or one a choice where the choices stand in the context."""

    @property
    def sha256(self) -> str:
        """Hash of the whole prompt, all queries included."""
        text = "\0".join([self.prefix, *self.queries])
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
    _twins: dict[str, list[int]] = field(default_factory=dict, init=False)
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
            self._twins.setdefault(identity(text, self._choices(doc)), []).append(i)

    def render(self, doc: dict[str, Any], doc_id: str) -> Prompt:
        """The prompt of one doc.

        Raises:
            UserError: too few docs are left once the asked one and its twins are left out.
        """
        from lm_eval.api.utils import maybe_delimit

        task = self.task
        description = task.resolve_field(doc, task.config.description) or ""
        header = maybe_delimit(self.system, description, task.config.fewshot_delimiter)
        text, choices = task.doc_to_text(doc), self._choices(doc)
        prefix = self._prefix(header, self._choose(doc, identity(text, choices), doc_id))
        return Prompt(prefix, tuple(self._queries(text, choices, task.doc_to_prefix(doc))))

    def _choices(self, doc: dict[str, Any]) -> list[str] | None:
        if self.task.config.doc_to_choice is None:
            return None
        choices: list[str] = self.task.doc_to_choice(doc)
        return choices

    def _choose(self, doc: dict[str, Any], asked: str, doc_id: str) -> tuple[int, ...]:
        """The indices, in the few-shot pool, of the docs shown: never the asked doc itself or a twin of it."""
        if self.n == 0:
            return ()
        banned = self._others(doc) | set(self._twins.get(asked, []))
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
                f"task {self.task.task_name}, doc {doc_id}: {error} that are not the asked one.",
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

    def _queries(self, text: Any, choices: list[str] | None, prefix: str | None) -> list[str]:
        task = self.task
        if task.multiple_input:
            assert choices is not None
            turns = [task.build_qa_turn(q=choice, gen_prefix=prefix, tgt_delim="") for choice in choices]
        else:
            turns = [
                task.build_qa_turn(
                    q=text, c=choices, gen_prefix=prefix, tgt_delim=task.config.target_delimiter, few_delim=""
                )
            ]
        return ["".join(turn.to_text() for turn in each) for each in turns]


def identity(text: object, choices: list[str] | None) -> str:
    """What makes two docs the same question: the rendered question and its choices."""
    return json.dumps([text, choices], default=str)
