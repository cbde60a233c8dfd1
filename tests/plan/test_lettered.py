"""Questions with choices, asked for a letter: prompts, the order of choices, and the rules that find the letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.backends.base import Generated, Response
from harness.plan import Generate, Plan, Score
from harness.plan.lettered import letter
from harness.score.scorer import score_plan
from harness.score.summary import summarise
from tests.tasks.support import config, plan

CASES = json.loads((Path(__file__).parent / "cases" / "letters.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:30])
def test_letters_are_found_by_the_first_rule_that_fires(case: dict[str, str]) -> None:
    texts = case.get("choices", ())
    found = letter(case["text"], case.get("labels", "AB" if texts else "ABCD"), texts)
    assert (str(found), found.rule) == (case["letter"], case["rule"]), case["why"]


def test_a_lettered_question_keeps_its_prompt() -> None:
    own, written = plan("c_eval", "limit=3"), plan("c_eval", "limit=3", "prompt.form=generation")
    for before, after in zip(own.requests, written.requests, strict=True):
        assert isinstance(after, Generate)
        assert after.context == before.context


@pytest.mark.parametrize("benchmark", ["hellaswag", "arc_c", "winogrande", "truthfulqa"])
def test_choices_are_listed_once_each_and_the_right_one_is_known(benchmark: str) -> None:
    made = plan(benchmark, "prompt.form=generation", f"shots.{benchmark}=0")
    assert made.lettered
    golds = []
    for doc in made.tasks[0].docs:
        (request,) = doc.requests
        gold = made.tasks[0].task.doc_to_target(doc.doc)
        lines = request.context.splitlines()
        listed = {line[0]: line[3:] for line in lines if line[1:3] == ". "}
        assert lines[-1] == "Answer:"
        assert listed[gold] == right_choice(benchmark, doc.doc)
        golds.append(gold)
    assert len(set(golds)) > 1


def right_choice(benchmark: str, doc: dict[str, object]) -> str:
    """From the data itself."""
    if benchmark == "truthfulqa":
        targets = doc["mc1_targets"]
        assert isinstance(targets, dict)
        return str(targets["choices"][targets["labels"].index(1)])
    if benchmark == "winogrande":
        return str(doc[f"option{doc['answer']}"])
    if benchmark == "hellaswag":
        return str(doc["choices"][int(str(doc["label"]))]).strip()  # type: ignore[index]
    choices = doc["choices"]
    assert isinstance(choices, dict)
    return str(choices["text"][choices["label"].index(doc["answerKey"])])


def test_the_order_of_choices_is_drawn_by_the_seed_alone() -> None:
    first, again, other = (
        [request.context for request in plan("truthfulqa", "prompt.form=generation", *more).requests]
        for more in ([], ["limit=5"], ["seed=1"])
    )
    assert first[:5] == again
    assert first != other


def test_right_letters_score_and_the_form_is_told() -> None:
    made = plan("arc_c", "prompt.form=generation", "limit=6")
    task = made.tasks[0]
    answers: dict[str, Response] = {}
    for i, doc in enumerate(task.docs):
        text = f" {task.task.doc_to_target(doc.doc)}" if i < 4 else " none of these"
        answers[doc.requests[0].hash] = Generated(text, "stop", 1, 1)
    whole = Plan((made,), {})
    entry = summarise(whole, score_plan(whole, answers))["benchmarks"]["arc_c"]
    assert entry["value"] == pytest.approx(4 / 6)
    assert entry["unparsed"] == pytest.approx(2 / 6)
    assert (entry["form"], entry["metric"], entry["lettered"]) == ("generation", "acc", True)


def test_the_form_is_a_choice_with_a_name() -> None:
    from harness.errors import UserError

    with pytest.raises(UserError, match=r"prompt.form = greek, which is none of auto, loglikelihood, letters"):
        config("mmlu", "prompt.form=greek")


def test_letters_are_scored_where_the_prompt_lists_them_and_written_elsewhere() -> None:
    letters = plan("mmlu", "prompt.form=letters", "limit=4")
    assert all(isinstance(request, Score) for request in letters.requests)
    assert not letters.lettered
    for name in ("arc_c", "paws_x"):
        written = plan(name, "prompt.form=letters", "limit=4")
        assert all(isinstance(request, Generate) for request in written.requests)
        assert written.lettered
