"""Words, shots and extraction of MGSM."""

import functools
import re
from collections.abc import Callable
from typing import Any

from harness.plan.borrowed import lm_eval_yaml
from harness.score.extract import Extracted, Rule, extract
from harness.score.figures import pattern, plain

REPOSITORY = "juletxara/mgsm"
Load = Callable[[str, str], Any]


def native(language: str, *, load: Load | None = None, **_: Any) -> dict[str, Any]:
    """Both splits of a language, with prompts and chains of thought in that language."""
    return splits(language, "native", load)


def english(language: str, *, load: Load | None = None, **_: Any) -> dict[str, Any]:
    """Both splits of a language, with chains of thought in English after questions in the language."""
    return splits(language, "english", load)


def splits(language: str, cot: str, load: Load | None) -> dict[str, Any]:
    """The data's splits with what is asked (``text``), what follows it (``target``) and in which language."""
    if load is None:  # in lm-eval itself
        from datasets import load_dataset as load
    from datasets import Dataset

    data = load(REPOSITORY, language)
    chains = load(REPOSITORY, "en")["train"] if cot == "english" else data["train"]
    words, written = wording(language, cot), "en" if cot == "english" else language
    shots = [{**doc, "target": chain(worked["answer"])} for doc, worked in zip(data["train"], chains, strict=True)]
    asked = [{**doc, "target": plain(str(doc["answer_number"]), "en")} for doc in data["test"]]
    return {
        split: Dataset.from_list([{**doc, "text": words(doc), "language": written} for doc in docs])
        for split, docs in (("train", shots), ("test", asked))
    }


def wording(language: str, cot: str) -> Callable[[dict[str, Any]], str]:
    """The words around a question, as lm-eval's task of that language has them."""
    from lm_eval.utils import apply_template

    template = source(language, cot)["doc_to_text"]
    return lambda doc: apply_template(template, doc)


def source(language: str, cot: str) -> dict[str, Any]:
    """lm-eval's task of a language."""
    short = "en" if cot == "english" else "native"
    return lm_eval_yaml(f"mgsm/{short}_cot/mgsm_{short}_cot_{language}.yaml")


def chain(answer: str) -> str:
    """A chain of thought without the words that lead to it, which the prompt has already."""
    return re.split("[:：]", answer, maxsplit=1)[1].strip()


@functools.cache
def sentence(language: str) -> str:
    """How a chain of thought in the language leads to its answer, from lm-eval's strict pattern."""
    strict = source(language, "native")["filter_list"][0]["filter"][0]["regex_pattern"]
    return str(strict).partition("(")[0].rstrip()


@functools.cache
def rules(language: str, strict: bool) -> tuple[Rule, ...]:
    """What counts as the answer in a text of the language."""
    figure = pattern(language)
    if strict:
        return (Rule("the_answer_is", rf"{sentence(language)}\s*(?:[:：]\s*)?({figure})"),)
    return (Rule("last_number", figure, "last"),)


def last_number(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
    """The last number of each text."""
    return _found(resps, docs, strict=False)


def the_answer_is(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
    """The number in the sentence that the shots end with."""
    return _found(resps, docs, strict=True)


def _found(resps: list[list[str]], docs: list[dict[str, Any]], strict: bool) -> list[list[Extracted]]:
    return [
        [
            extract(text, rules(doc["language"], strict), functools.partial(plain, language=doc["language"]))
            for text in texts
        ]
        for texts, doc in zip(resps, docs, strict=True)
    ]
