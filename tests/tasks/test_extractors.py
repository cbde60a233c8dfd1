"""What each row takes from a generated text, and what it is worth: cases as data, and published outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.score.extract import UNPARSED, Extracted
from tests.tasks.support import utils

CASES = Path(__file__).parent / "cases"
# file of cases: (benchmark, its extractor)
EXTRACTORS = {
    "mmlu_pro": ("mmlu_pro", "letter"),
    "mmlu_pro_first_pattern": ("mmlu_pro", "first_pattern"),
    "mmlu_pro_two_patterns": ("mmlu_pro", "two_patterns"),
    "mmlu_pro_three_patterns": ("mmlu_pro", "three_patterns"),
    "gpqa": ("gpqa", "letter"),
    "bbh": ("bbh", "line"),
    "bbh_rest": ("bbh", "rest"),
    "theoremqa": ("theoremqa", "answers"),
    "math": ("math", "answers"),
    "math_last_box": ("math", "boxes"),
    "gsm8k": ("gsm8k", "last_number"),
    "flores": ("flores", "line"),
    "gsm8k_answer_line": ("gsm8k", "answer_line"),
}


def cases(name: str) -> list[dict[str, Any]]:
    data = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(data, list)
    return data


def extractor(benchmark: str, name: str) -> Callable[[str], Extracted]:
    function = getattr(utils(benchmark), name)
    return lambda text: function([[text]], [{}])[0][0]


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in EXTRACTORS for case in cases(name)])
def test_extraction(name: str, case: dict[str, Any]) -> None:
    benchmark, function = EXTRACTORS[name]
    found = extractor(benchmark, function)(case["text"])
    assert (str(found), found.rule) == (case["answer"], case["rule"]), case["why"]
    assert found.text in case["text"]
    if "strict" in case:
        assert extractor(benchmark, "the_answer_is")(case["text"]) == case["strict"]


@pytest.mark.parametrize("case", cases("theoremqa_equal"))
def test_typed_comparison(case: dict[str, Any]) -> None:
    doc = {"Answer": case["target"], "Answer_type": case["type"]}
    given = utils("theoremqa").verdicts(doc, [case["found"]])
    assert given == {"exact": case["equal"], "rounded": case.get("rounded", case["equal"])}


@pytest.mark.parametrize("case", cases("math_normalised"))
def test_minerva_normalisation(case: dict[str, Any]) -> None:
    assert utils("math").normalised(case["answer"]) == case["normalised"], case["why"]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"so $\boxed 7$.", "7"),
        (r"\fbox{x}", "x"),
        (r"\boxed{1", None),
        ("nothing", None),
    ],
)
def test_the_last_box(text: str, content: str | None) -> None:
    assert utils("math").boxed(text) == content


def test_an_equal_expression_is_verified_where_strings_differ() -> None:
    math = utils("math")
    doc = {"solution": r"So $\boxed{\frac{1}{2}}$.", "level": "Level 1"}
    text = "Final Answer: The final answer is $0.5$. I hope it is correct."
    found = math.answers([[text]], [doc])[0][0]
    assert math.verdicts(doc, [found]) == {"minerva": 0.0, "math_verify": 1.0, "either": 1.0}


def test_math_verify_works_off_the_main_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(utils("math").verified, r"\boxed{4}", r"It is \boxed{4}.").result()


def test_a_guess_depends_on_the_seed_and_the_doc_alone() -> None:
    mmlu_pro = utils("mmlu_pro")
    docs = [{"question_id": i, "options": ["a", "b", "c"], "answer": "A"} for i in range(300)]
    guesses = [mmlu_pro.guess(doc, 0) for doc in docs]
    assert guesses == [mmlu_pro.guess(doc, 0) for doc in docs]
    assert guesses != [mmlu_pro.guess(doc, 1) for doc in docs]
    assert {letter: guesses.count(letter) > 70 for letter in "ABC"} == dict.fromkeys("ABC", True)
    assert set(guesses) == set("ABC")


def test_an_answer_without_a_letter_counts_by_each_rule() -> None:
    mmlu_pro = utils("mmlu_pro")
    doc = {"question_id": 7, "options": ["a", "b", "c", "d"]}
    doc["answer"] = mmlu_pro.guess(doc, 0)
    missed = Extracted(UNPARSED)
    assert mmlu_pro.verdicts(doc, [missed]) == {"acc_none": 0.0, "acc_seeded": 1.0, "acc_expected": 0.25}
    assert mmlu_pro.verdicts(doc, [Extracted(doc["answer"], "answer_is")]) == dict.fromkeys(
        ("acc_none", "acc_seeded", "acc_expected"), 1.0
    )
