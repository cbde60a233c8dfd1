"""What each row takes from a generated text, and what it is worth: cases as data, and published outputs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.score.extract import UNPARSED, Extracted
from tests.tasks.support import utils

CASES = Path(__file__).parent / "cases"
EXTRACTORS = {
    "mmlu_pro": "letters",
    "gpqa": "letter",
    "bbh": "answers",
    "theoremqa": "answers",
    "math": "answers",
    "gsm8k": "last_number",
}


def cases(name: str) -> list[dict[str, Any]]:
    data = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(data, list)
    return data


def extractor(benchmark: str, name: str) -> Callable[[str], Extracted]:
    function = getattr(utils(benchmark), name)
    return lambda text: function([[text]], [{}])[0][0]


@pytest.mark.parametrize(("benchmark", "case"), [(b, c) for b in EXTRACTORS for c in cases(b)])
def test_extraction(benchmark: str, case: dict[str, Any]) -> None:
    found = extractor(benchmark, EXTRACTORS[benchmark])(case["text"])
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
    assert math.verdicts(doc, [found]) == {"minerva": 0.0, "math_verify": 1.0}


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


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_bbh_gives_the_published_verdicts(published: Path) -> None:
    take = extractor("bbh", "answers")
    data = rows(published, "bbh_cot__code-davinci-002")
    assert [take(row["output"]) == row["target"] for row in data] == [row["correct"] for row in data]


@pytest.mark.parametrize(("name", "stated", "cut"), [("Meta-Llama-3-70B", 52.78, 2), ("Mixtral-8x7B-v0.1", 41.03, 0)])
def test_mmlu_pro_gives_the_published_letters(name: str, stated: float, cut: int, published: Path) -> None:
    mmlu_pro = utils("mmlu_pro")
    data = rows(published, f"mmlu_pro__{name}")
    letters = mmlu_pro.letters([[row["output"]] for row in data], data)
    first_rule = [str(found[0]) if found[0].rule == "answer_is" else None for found in letters]
    # the publisher did not cut at "Question:", and took two letters from questions that the model made up
    assert sum(ours != row["extracted"] for ours, row in zip(first_rule, data, strict=True)) <= cut
    docs = [{"question_id": r["doc_id"], "options": [""] * r["n_options"], "answer": r["target"]} for r in data]
    for rule, found in (("first rule", [[Extracted(letter or UNPARSED)] for letter in first_rule]), ("all", letters)):
        verdicts = [mmlu_pro.verdicts(doc, each) for doc, each in zip(docs, found, strict=True)]
        for kind in ("acc_seeded", "acc_expected"):
            assert 100 * sum(v[kind] for v in verdicts) / len(data) == pytest.approx(stated, abs=0.3), (rule, kind)


def test_theoremqa_agrees_with_the_published_verdicts(published: Path) -> None:
    theoremqa = utils("theoremqa")
    data = rows(published, "theoremqa__mistral-7b-v0.1")
    differ = []
    for row in data:
        # the published extraction is sometimes the whole text, which is no answer to compare
        if "\n" in row["extracted"] or row["boolean_taken_as_number"]:
            continue
        doc = {"Answer": row["target"][0], "Answer_type": row["task"]}
        if bool(theoremqa.verdicts(doc, [row["extracted"]])["rounded"]) != row["correct"]:
            differ.append((row["extracted"], row["target"][0], row["correct"]))
    assert sorted(differ) == [
        ("(1, 2, 3)", "1", True),  # a list is no number
        ("(a) and (b)", "(b)", True),  # two options are no answer
        ("B", "(b)", False),  # brackets are no part of the letter
        ("The integral is equal to 0", "0.0", False),
        ("\\(\\frac{3.14}{4}\\)", "0.78539815", False),  # LaTeX is read
    ]


def test_math_gives_the_published_verdicts(published: Path) -> None:
    math = utils("math")
    for row in rows(published, "math_samples__qwen2.5-math"):
        same = math.normalised(math.boxed(row["output"]) or "") == math.normalised(row["target"])
        assert same == row["correct"], row["doc_id"]


@pytest.mark.parametrize("name", ["finetuning", "verification"])
def test_gsm8k_gives_the_published_verdicts(name: str, published: Path) -> None:
    take, canonical = extractor("gsm8k", "last_number"), utils("gsm8k").number
    data = rows(published, f"gsm8k__6b-{name}")
    assert [take(row["output"]) == canonical(row["target"]) for row in data] == [row["correct"] for row in data]
