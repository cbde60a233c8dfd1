"""Shots, extraction and comparison of MATH.

The words that the Minerva normalisation removes are read from the installed lm-eval; the steps are written here.
"""

import re
import threading
from typing import Any

from harness.plan.borrowed import lm_eval_literal
from harness.score.extract import UNPARSED, Extracted, Rule, extract

SOURCE = "minerva_math/utils.py"
PARSE_SECONDS = 5
COMMAND = re.compile(r"(\\[a-zA-Z]+)")
RULES = (Rule("final_answer", r"Final Answer: The final answer is(.*?)\.?\s*(?:I hope it is correct|\n|$)"),)


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


def answers(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
    """The normalised final answer; what follows "Problem:" is the model's own next problem."""
    return [[extract(text.split("Problem:")[0], RULES, normalised) for text in texts] for texts in resps]


def normalised(answer: str) -> str:
    """An answer without units, formatting and thousands separators (Lewkowycz et al. 2022, appendix D)."""
    removed = lm_eval_literal(SOURCE, "REMOVED_EXPRESSIONS")
    words = [text for text in removed if text.isalpha()]
    text = answer.split("=")[-1]
    # a unit that stands alone goes while there are spaces to tell it from its neighbours
    text = re.sub(rf"(?<!\\)\b(?:{'|'.join(map(re.escape, words))})\b", "", text)
    for before, after in lm_eval_literal(SOURCE, "SUBSTITUTIONS"):
        text = text.replace(before, after)
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
    """String equality after the normalisation, and equality as expressions."""
    found = results[0]
    same = found != UNPARSED and found == gold(doc)
    return {"minerva": float(same), "math_verify": float(verified(doc["solution"], found.text))}


def verified(solution: str, text: str) -> bool:
    """Whether math-verify finds the answer of a text equal to the solution's."""
    from math_verify import parse, verify

    # its time limit is an alarm, which only the main thread of a program can set
    limit = PARSE_SECONDS if threading.current_thread() is threading.main_thread() else 0
    return bool(
        verify(
            parse(solution, parsing_timeout=limit),
            parse(text.split("Problem:")[0], parsing_timeout=limit),
            timeout_seconds=limit,
        )
    )
