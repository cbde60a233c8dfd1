"""Answers in generated text: an ordered list of named rules, and which of them fired."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
        found = None
        for match in re.finditer(self.pattern, text):
            found = next((g for g in match.groups() if g is not None), match.group())
            if self.which == "first":
                break
        return found


def extract(text: str, rules: Iterable[Rule], clean: Callable[[str], str] = str.strip) -> Extracted:
    """The first rule's answer, cleaned; ``UNPARSED`` if none finds one."""
    for rule in rules:
        found = rule.find(text)
        if found is not None and (value := clean(found)):
            return Extracted(value, rule.name, text)
    return Extracted(UNPARSED, None, text)


def filter_by(
    rules: Sequence[Rule], clean: Callable[[str], str] = str.strip
) -> Callable[[list[list[str]], list[dict[str, Any]]], list[list[Extracted]]]:
    """An lm-eval ``custom`` filter that extracts by these rules."""

    def apply(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
        return [[extract(text, rules, clean) for text in texts] for texts in resps]

    return apply


def number(text: str) -> str:
    """A number in one canonical form: no thousands separators, currency or trailing dot; ``3.0`` is ``3``."""
    plain = text.replace(",", "").replace("$", "").strip().rstrip(".")
    whole, dot, fraction = plain.partition(".")
    fraction = fraction.rstrip("0")
    if dot and whole in ("", "-"):
        whole += "0"
    return f"{whole}.{fraction}" if fraction else whole
