"""Shots, extraction and comparison of MATH.

The words that the Minerva normalisation removes are read from the installed lm-eval; the steps are written here.
"""

import re
from typing import Any

from harness.plan.borrowed import lm_eval_literal
from harness.score import expressions
from harness.score.extract import UNPARSED, Extracted, Rule, before, filter_by

SOURCE = "minerva_math/utils.py"
LONGEST = 1000  # signs of an answer
STOP = "Problem:"  # what follows is the model's own next problem
COMMAND = re.compile(r"(\\[a-zA-Z]+)")
RULES = (Rule("final_answer", r"Final Answer: The final answer is([^\n]*)"),)


def shots() -> list[dict[str, Any]]:
    """Minerva's four worked examples, as lm-eval carries them."""
    return list(lm_eval_literal(SOURCE, "list_fewshot_samples"))


def target(doc: dict[str, Any]) -> str:
    """A shot's whole solution; of an asked doc, its final answer."""
    return gold(doc) if "level" in doc else doc["solution"]


def gold(doc: dict[str, Any]) -> str:
    """The normalised content of the solution's last box."""
    return normalised(boxed(doc["solution"]) or "")


def boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed`` or ``\fbox``, with or without braces; None if there is none or no end."""
    starts = list(re.finditer(r"\\(?:boxed|fbox)\s*", text))
    if not starts:
        return None
    rest = text[starts[-1].end() :]
    if not rest.startswith("{"):
        return re.split(r"[\s$]", rest, maxsplit=1)[0]
    depth = 0
    for i, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[1:i]
    return None


def sentence(answer: str) -> str:
    """The normalised answer of the sentence that Minerva's examples end with."""
    return normalised(answer.split("I hope it is correct")[0].strip().removesuffix("."))


class LastBox:
    r"""The content of the last ``\boxed``, as instruct models write their answers."""

    name = "last_box"

    def find(self, text: str) -> str | None:
        """The answer, or None."""
        return boxed(text)


def normalised(answer: str) -> str:
    """An answer without units, formatting and thousands separators (Lewkowycz et al. 2022, appendix D)."""
    if len(answer) > LONGEST:
        return ""
    removed = lm_eval_literal(SOURCE, "REMOVED_EXPRESSIONS")
    words = [text for text in removed if text.isalpha()]
    text = answer.split("=")[-1]
    # a unit that stands alone goes while there are spaces to tell it from its neighbours
    text = re.sub(rf"(?<!\\)\b(?:{'|'.join(map(re.escape, words))})\b", "", text)
    for written, instead in lm_eval_literal(SOURCE, "SUBSTITUTIONS"):
        text = text.replace(written, instead)
    for expression in removed:
        text = _outside_commands(text, expression) if expression.isalpha() else text.replace(expression, "")
    return _plain(text)


def _outside_commands(text: str, word: str) -> str:
    r"""Without a word, but where it is part of a command: ``ft`` goes, and ``\left`` stays."""
    parts = COMMAND.split(text)
    return "".join(part if i % 2 else part.replace(word, "") for i, part in enumerate(parts))


def _plain(text: str) -> str:
    """The content of mathematics mode and of wrapping commands, in one spelling."""
    inner = re.search(r"\$(.*?)\$", text)
    text = inner.group(1) if inner else text
    text = re.sub(r"\\(?:text|textbf|overline)\{(.*?)\}", r"\1", text)
    text = re.sub(r"\\boxed\{(.*)\}", r"\1", text)
    text = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub(r"sqrt(\[[^\]]*\])(\w)", r"sqrt\1{\2}", text)
    text = re.sub(r"sqrt(?!\[)([^{])", r"sqrt{\1}", text)
    text = text.replace("$", "")
    return text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+", text) else text


def verdicts(doc: dict[str, Any], results: list[Extracted]) -> dict[str, float]:
    """String equality after the normalisation, equality as expressions, and either of the two."""
    found = results[0]
    same = found != UNPARSED and found == gold(doc)
    equal = verified(doc["solution"], found.text)
    return {"minerva": float(same), "math_verify": float(equal), "either": float(same or equal)}


def verified(solution: str, text: str) -> bool:
    """Whether math-verify finds the answer of a text equal to the solution's."""
    return expressions.equal(solution, before(text, STOP))


answers = filter_by(RULES, sentence, stops=(STOP,))
boxes = filter_by([LastBox()], normalised, stops=(STOP,))
