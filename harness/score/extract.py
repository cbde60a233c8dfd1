"""Answers in generated text: an ordered list of named rules, and which of them fired."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.score.limit import EXTRACTION_SECONDS, UNREADABLE, limited

UNPARSED = "[invalid]"  # lm-eval's own word for an output in which nothing was found


class Extracted(str):
    """An extracted answer that remembers its rule and its text; a plain string to lm-eval's metrics."""

    rule: str | None
    text: str

    def __new__(cls, value: str, rule: str | None = None, text: str = "") -> Extracted:
        """An answer found by ``rule`` in ``text``, or ``UNPARSED`` with no rule."""
        made = super().__new__(cls, value)
        made.rule = rule
        made.text = text
        return made


class Finder(Protocol):
    """One way to find an answer."""

    @property
    def name(self) -> str:
        """Stands in the samples beside the answer."""

    def find(self, text: str) -> str | None:
        """The answer, or None."""


@dataclass(frozen=True)
class Rule:
    """One way to find an answer."""

    name: str
    """Stands in the samples beside the answer."""
    pattern: str
    """A regular expression; its first group that matched, or else the whole match, is the answer."""
    which: Literal["first", "last"] = "first"
    """Which of several matches counts."""

    def find(self, text: str) -> str | None:
        """The answer, or None."""
        last = None
        for match in re.finditer(self.pattern, text):
            last = match
            if self.which == "first":
                break
        return None if last is None else next((g for g in last.groups() if g is not None), last.group())


@dataclass(frozen=True)
class AfterLast:
    """The text behind the last of some words."""

    name: str
    """Stands in the samples beside the answer."""
    words: str
    """What stands before the answer."""
    to: Literal["line", "end"] = "line"
    """Where the answer ends: with its line, or with the text."""

    def find(self, text: str) -> str | None:
        """The answer, or None."""
        _, words, rest = text.rpartition(self.words)
        if not words:
            return None
        return rest.lstrip(" ").split("\n", 1)[0] if self.to == "line" else rest


def before(text: str, *stops: str) -> str:
    """The text up to the first of these strings: what follows is no answer, but what a model went on to invent."""
    ends = [end for stop in stops if (end := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def extract(text: str, rules: Iterable[Finder], clean: Callable[[str], str] = str.strip) -> Extracted:
    """The first rule's answer, cleaned; ``UNPARSED`` if none finds one, or none within the time limit."""
    try:
        with limited(EXTRACTION_SECONDS):
            for rule in rules:
                found = rule.find(text)
                if found is not None and (value := clean(found)):
                    return Extracted(value, rule.name, text)
    except UNREADABLE:
        pass
    return Extracted(UNPARSED, None, text)


def filter_by(
    rules: Sequence[Finder], clean: Callable[[str], str] = str.strip, stops: Sequence[str] = ()
) -> Callable[[list[list[str]], list[dict[str, Any]]], list[list[Extracted]]]:
    """An lm-eval ``custom`` filter that extracts by these rules, from the text up to the first of the stops."""

    def apply(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
        return [[extract(before(text, *stops), rules, clean) for text in texts] for texts in resps]

    return apply


def number(text: str) -> str:
    """A number in one canonical form: no thousands separators, currency or trailing dot; ``3.0`` is ``3``."""
    plain = text.replace(",", "").replace("$", "").strip().rstrip(".")
    whole, dot, fraction = plain.partition(".")
    fraction = fraction.rstrip("0")
    if dot and whole in ("", "-"):
        whole += "0"
    return f"{whole}.{fraction}" if fraction else whole
