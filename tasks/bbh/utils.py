"""Extraction of BBH."""

from typing import Any

from harness.score.extract import Extracted, Rule, extract

# greedy in front, so that the last sentence counts even where two stand in one line
RULES = (Rule("the_answer_is", r"(?s:.*)the answer is +([^\n]*)"),)


def clean(answer: str) -> str:
    """Without the full stop that ends the sentence."""
    return answer.strip().rstrip(".").rstrip()


def answers(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
    """The text behind "the answer is"; what follows "Q:" is the model's own next question."""
    return [[extract(text.split("\n\nQ:")[0], RULES, clean) for text in texts] for texts in resps]
