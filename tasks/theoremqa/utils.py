"""Docs, shots, extraction and comparison of TheoremQA."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.score.extract import UNPARSED, Rule, filter_by
from harness.score.numeric import LONGEST, number, numbers

HERE = Path(__file__).parent
TOLERANCE = 0.04  # of a float, relative to the target
RULES = (Rule("the_answer_is", r"[Tt]he (?:final )?answer is:?\s*([^\n]+)"),)
TRUTH = {"true": True, "yes": True, "correct": True, "false": False, "no": False, "incorrect": False}


def numbered(dataset: Any) -> Any:
    """All docs, each with its row as an id, and without the pictures, which are not shown."""
    kept = dataset.select_columns(["Question", "Answer", "Answer_type"])
    return kept.add_column("row", list(range(len(kept))))


def without_pictures(dataset: Any) -> Any:
    """The docs that can be answered from their text: the data set's own list of pictures is not in every copy of it."""
    pictured = set((HERE / "pictured.txt").read_text(encoding="utf-8").split())
    docs = numbered(dataset)
    return docs.select([row for row, question in enumerate(docs["Question"]) if _key(question) not in pictured])


def _key(question: str) -> str:
    return hashlib.sha256(question.strip().encode()).hexdigest()[:16]


def shots(*, shots_file: str | None = None) -> list[dict[str, Any]]:
    """The worked examples: the project's own, or a user's JSON-lines file with ``question`` and ``solution``.

    Raises:
        UserError: the user's file cannot be read, or a line of it lacks a field.
    """
    path = Path(shots_file).expanduser() if shots_file else HERE / "shots.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        return [{"Question": row["question"], "Answer": row["solution"]} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"theoremqa.shots_file = {path}, which cannot be read ({type(error).__name__}: {error}).",
            'Give a file with one {"question": …, "solution": …} a line.',
        ) from error


def clean(answer: str) -> str:
    """Without the full stop that ends the sentence, and without the signs of mathematics mode around it."""
    return "" if len(answer) > LONGEST else answer.strip().removesuffix(".").strip().strip("$").strip()


# what follows "Problem:" is the model's own next problem
answers = filter_by(RULES, clean, stops=("Problem:",))


def verdicts(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Equality by the answer's type, with integers exact, and with integers rounded first as the authors do."""
    found, target, kind = results[0], doc["Answer"], doc["Answer_type"]
    exact = found != UNPARSED and equal(found, target, kind)
    rounded = exact or (kind == "integer" and found != UNPARSED and _rounded(found, target))
    return {"exact": float(exact), "rounded": float(rounded)}


def equal(found: str, target: str, kind: str) -> bool:
    """Whether an answer equals the target of its type."""
    if kind == "bool":
        return truth(found) == TRUTH[target.lower()]
    if kind == "option":
        return option(found) == option(target)
    if kind.startswith("list"):
        left, right = numbers(found), numbers(target)
        close = _same if kind == "list of integer" else _near
        return left is not None and right is not None and len(left) == len(right) and all(map(close, left, right))
    value, goal = scalar(found), scalar(target)
    if value is None or goal is None:
        return False
    return _same(value, goal) if kind == "integer" else _near(value, goal)


def scalar(text: str) -> float | None:
    """The number that an answer states, unless it is a bracketed list."""
    if len(text) > LONGEST:
        return None
    return None if re.fullmatch(r"\W*[\[(][^()\[\]]*,[^()\[\]]*[\])]\W*", text) else number(text)


def truth(text: str) -> bool | None:
    """The truth value that an answer begins with."""
    word = re.match(r"\W*(\w+)", text)
    return TRUTH.get(word.group(1).lower()) if word else None


def option(text: str) -> str | None:
    """The letter of an option: alone or in brackets, at the answer's beginning."""
    letter = re.match(r"\W*([A-Da-d])\b", text)
    return letter.group(1).lower() if letter else None


def _same(value: float, goal: float) -> bool:
    return math.isclose(value, goal, rel_tol=1e-9, abs_tol=1e-9)


def _near(value: float, goal: float) -> bool:
    return abs(value - goal) <= TOLERANCE * abs(goal)


def _rounded(found: str, target: str) -> bool:
    value, goal = scalar(found), scalar(target)
    return value is not None and goal is not None and _same(round(value), goal)
