"""Extraction of BBH."""

from harness.score.extract import AfterLast, filter_by

WORDS = "the answer is "


def clean(answer: str) -> str:
    """Without the full stop that ends the sentence."""
    return answer.strip().rstrip(".").rstrip()


# what follows "Q:" is the model's own next question
line = filter_by([AfterLast("the_answer_is", WORDS)], clean, stops=("\n\nQ:",))
rest = filter_by([AfterLast("the_answer_is", WORDS, "end")], clean)
