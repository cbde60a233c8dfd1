"""MGSM: what is taken from a text in each language, and where it agrees with lm-eval's native task."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.plan.borrowed import lm_eval_yaml
from tests.tasks.support import plan, utils
from tests.tasks.test_parity import DOCS, FIRST, TextModel, ours, source_of, theirs

CASES = json.loads((Path(__file__).parent / "cases" / "mgsm.json").read_text(encoding="utf-8"))
LANGUAGES = ("es", "fr", "ru", "de", "ja", "th")
SENTENCES = {
    "es": "La respuesta es {}.",
    "fr": "La réponse est {}.",
    "ru": "Ответ — {}.",
    "de": "Die Antwort lautet {}.",
    "ja": "答えは{}です。",
    "th": "คำตอบคือ {}",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_extraction(case: dict[str, Any]) -> None:
    mgsm, doc = utils("mgsm"), {"language": case["language"]}
    found = mgsm.last_number([[case["text"]]], [doc])[0][0]
    assert (str(found), found.rule) == (case["answer"], case["rule"])
    assert str(mgsm.the_answer_is([[case["text"]]], [doc])[0][0]) == case["strict"]


def yaml_of(language: str) -> dict[str, Any]:
    return lm_eval_yaml(f"mgsm/native_cot/mgsm_native_cot_{language}.yaml")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_ends_where_lm_evals_words_begin_a_question(language: str) -> None:
    task = next(task for task in plan("mgsm", "limit=6").tasks if task.name == f"mgsm_native_{language}")
    assert task.docs[0].requests[0].stop[0] == "\n" + yaml_of(language)["generation_kwargs"]["until"][0]  # type: ignore[union-attr]


def answers(made: Any, name: str, language: str) -> dict[str, str]:
    """To each prompt of a task, every other answer right, the others wrong, in the sentence of the shots."""
    task = next(task for task in made.tasks if task.name == name)
    texts = {}
    for i, doc in enumerate(task.docs):
        number = doc.doc["answer_number"] + i % 2
        texts[doc.requests[0].context] = " 3 + 4 = 7. " + SENTENCES[language].format(number)
    return texts


# lm-eval cuts the first words of a shot's answer by a number of characters, which is one short in Russian and one long
# in Japanese
@pytest.mark.parametrize("language", ["es", "fr", "de", "th"])
@pytest.mark.parametrize("real", [False, True], ids=["sample", "real"])
def test_same_prompts_and_scores_as_lm_eval(language: str, real: bool, request: pytest.FixtureRequest) -> None:
    mirror = request.getfixturevalue("mirror") if real else None
    made = plan("mgsm", mirror=mirror)
    name = f"mgsm_native_{language}"
    texts = answers(made, name, language)
    model = TextModel(lambda context: texts[context])
    mine = ours(made, name, model.answer)
    theirs_name = f"mgsm_native_cot_{language}"
    done = theirs(theirs_name, FIRST, 8, source_of(mirror), model.for_lm_eval())["results"][theirs_name]
    task = next(task for task in made.tasks if task.name == name)
    assert {doc.requests[0].context for doc in task.docs[:DOCS]} == set(model.prompts)
    assert mine.samples["exact_match"].mean() == pytest.approx(done["exact_match,flexible-extract"])
    assert mine.samples["exact_match,strict"].mean() == pytest.approx(done["exact_match,strict-match"])
    assert 0 < mine.samples["exact_match"].mean() < 1


@pytest.mark.parametrize("language", ["ru", "ja"])
def test_the_shots_that_lm_eval_cuts_wrongly_are_whole_here(language: str) -> None:
    made = plan("mgsm")
    task = next(task for task in made.tasks if task.name == f"mgsm_native_{language}")
    model = TextModel()
    theirs(f"mgsm_native_cot_{language}", FIRST, 8, source_of(None), model.for_lm_eval(), limit=1)
    mine, other = task.docs[0].requests[0].context, model.prompts[0]
    lead = re.search(r"\\n(.*?:)", yaml_of(language)["doc_to_text"])
    assert lead is not None
    if language == "ru":
        assert mine == other.replace(f"{lead[1]}  ", f"{lead[1]} ")
    else:
        cut = re.sub(rf"({lead[1]} ).", r"\1", mine)
        assert cut == other
    assert mine != other


def test_english_chains_follow_questions_in_their_language(mirror: Path) -> None:
    made = plan("mgsm", "mgsm.cot=english", mirror=mirror)
    for task in made.tasks:
        language = task.name.removeprefix("mgsm_english_")
        prefix = task.docs[0].requests[0].prefix
        assert prefix.count("Step-by-Step Answer: ") == prefix.count("The answer is ") == 8
        assert prefix.count(yaml_of(language)["generation_kwargs"]["until"][0]) == 8
        assert task.docs[0].doc["language"] == "en"


def test_a_shots_chain_ends_with_its_answer(mirror: Path) -> None:
    mgsm = utils("mgsm")
    for overrides in ((), ("mgsm.cot=english",)):
        for task in plan("mgsm", *overrides, mirror=mirror).tasks:
            for shot in task.task.fewshot_docs():
                assert str(mgsm.last_number([[shot["target"]]], [shot])[0][0]) == str(shot["answer_number"])
