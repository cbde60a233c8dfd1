"""Options and answers of M3Exam, which each country's exams label in their own way."""

import re
from typing import Any

LETTERS = "ABCDEFGH"
ALPHABETS = (LETTERS, "12345678", "๑๒๓๔๕๖๗๘")
LABEL = re.compile(r"^\s*\(?([A-Ha-h1-8๑-๘])[.)]\s*")


def answerable(dataset: Any, *, labels: str = "letters") -> Any:
    """The docs in one form; one whose key names none of its options cannot be answered, and is left out."""
    from datasets import Dataset

    made = [prepared(doc, row, labels) for row, doc in enumerate(dataset)]
    return Dataset.from_list([doc for doc in made if doc is not None])


def prepared(doc: dict[str, Any], row: int, labels: str) -> dict[str, Any] | None:
    """A doc with its labels, the lines of its options and the place of the right one."""
    options = [option.strip() for option in doc["options"]]
    answer = doc["answer_text"].strip(" ().").upper()
    own = next((alphabet[: len(options)] for alphabet in ALPHABETS if answer and answer in alphabet), "")
    if answer not in list(own):
        return None
    marks = [found[1].upper() if (found := LABEL.match(option)) else "" for option in options]
    # an option is stripped of its label only where all are labelled, so that an answer such as "1.5" stays whole
    labelled = any(marks == list(alphabet[: len(options)]) for alphabet in ALPHABETS)
    texts = [LABEL.sub("", option, count=1) for option in options] if labelled else options
    shown = own if labels == "own" else LETTERS[: len(options)]
    background = (doc["background"] or "").strip()
    return {
        "row": str(row),
        "background": background,
        # docs about one text belong together; a doc without one stands alone
        "passage": background or doc["question_text"].strip(),
        "question": doc["question_text"].strip(),
        "options": [f"{label}. {text}" for label, text in zip(shown, texts, strict=True)],
        "labels": list(shown),
        "gold": own.index(answer),
    }
