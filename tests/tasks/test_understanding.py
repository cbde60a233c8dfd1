"""Understanding in many languages: schemas, endings, suffixes, labels, and sample docs in every language."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.errors import MissingError
from harness.plan import Source
from harness.plan.request import Score
from tests.tasks.support import config, plan, utils

SETS = {"belebele": 12, "xcopa": 3, "xwinograd": 4, "xstorycloze": 4, "paws_x": 5}
READINGS = [*((name, ()) for name in SETS), ("paws_x", ("paws_x.form=letters",))]
# schemas of the real sets, and the docs of the largest one
SCHEMAS = {"fr": (39, 4), "pt": (114, 8), "ru": (155, 8), "jp": (536, 4)}


@pytest.mark.parametrize("benchmark", SETS)
def test_every_language_has_sample_docs(benchmark: str) -> None:
    made = plan(benchmark)
    assert not made.absent
    assert len(made.tasks) == SETS[benchmark]
    assert all(len(task.docs) >= 3 for task in made.tasks)
    assert sum(len(task.docs) for task in made.tasks) >= 12
    languages = [task.task.config.metadata["language"] for task in made.tasks]
    assert [task.name.rpartition("_")[2] for task in made.tasks] == languages
    for task in made.tasks:
        # no position of the right answer is the answer to all of them
        answers = [
            str(task.task.doc_to_text(doc.doc) if task.task.multiple_input else task.task.doc_to_target(doc.doc))
            for doc in task.docs
        ]
        assert len(set(answers)) > 1, task.name


def real_docs(mirror: Path, language: str) -> list[dict[str, Any]]:
    return list(Source("mirror", mirror).load("Muennighoff/xwinograd", language)["test"].to_list())


@pytest.mark.parametrize("language", SCHEMAS)
def test_twins_are_one_schema(language: str, mirror: Path) -> None:
    docs = real_docs(mirror, language)
    helpers = utils("xwinograd")
    schemas = helpers.schemas(docs)
    sizes = Counter(schemas)
    assert (len(sizes), max(sizes.values())) == SCHEMAS[language]
    same_options = [i for i, (a, b) in enumerate(pairwise(docs)) if helpers.options(a) == helpers.options(b)]
    assert len(same_options) > len(docs) / 4
    assert all(schemas[i] == schemas[i + 1] for i in same_options)
    # another measure of likeness agrees; in Japanese, sentences are short, and some of different schemas end alike
    if language != "jp":
        grams = [trigrams(doc["sentence"]) for doc in docs]
        alike = [
            (i, j)
            for i, j in combinations(range(len(docs)), 2)
            if 2 * len(grams[i] & grams[j]) > len(grams[i] | grams[j])
        ]
        assert len(alike) > len(docs) / 4
        assert all(schemas[i] == schemas[j] for i, j in alike)


def trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def test_a_schema_need_not_be_of_neighbours_or_of_equal_options() -> None:
    first = {"sentence": "Die alte Wanduhr im Flur schlug, und _ erschrak.", "option1": "Eva", "option2": "die Uhr"}
    other = {"sentence": "Es regnete auf _ herab.", "option1": "das Dach", "option2": "den Hof"}
    third = {"sentence": "Die alte Wanduhr im Flur _, und Eva erschrak.", "option1": "schlug", "option2": "stand"}
    again = {"sentence": "Bald troff das Wasser von _ .", "option1": "den Hof", "option2": "Das Dach"}
    schemas = utils("xwinograd").schemas
    a, b, c = (doc["sentence"] for doc in (first, other, again))
    assert schemas([first, other, third]) == [a, b, a]
    assert schemas([first, other, again]) == [a, b, b]
    assert schemas([other, first, again]) == [b, a, c]


def test_what_follows_the_blank_is_scored_as_written_or_behind_a_space(mirror: Path) -> None:
    def scored(reading: str, language: str) -> list[str]:
        (task,) = plan(
            "xwinograd", f"xwinograd.suffix={reading}", mirror=mirror, only=f"xwinograd_{reading}_{language}"
        ).tasks
        return [text for doc in task.docs for r in doc.requests if isinstance(r, Score) for text in r.continuations]

    assert all(text.startswith(" ") for text in scored("spaced", "ja"))
    assert not any(text.startswith(" ") for text in scored("written", "ja"))
    assert [text.strip() for text in scored("written", "ja")] == [text.strip() for text in scored("spaced", "ja")]
    # ten Russian sentences end with the blank
    assert Counter(scored("spaced", "ru"))[" ."] == 2 * 10
    assert Counter(scored("written", "ru"))["."] == 2 * 10


def test_a_premise_loses_its_full_stop_and_no_letter(mirror: Path) -> None:
    for language in ("vi", "id", "th"):
        name = f"xcopa_connector_{language}"
        (kept,) = plan("xcopa", mirror=mirror, only=name).tasks
        (cut,) = plan("xcopa", "xcopa.ending=any", mirror=mirror, only=name).tasks
        for ours, theirs in zip(kept.docs, cut.docs, strict=True):
            premise = ours.doc["premise"].removesuffix(".")
            assert ours.requests[0].query.startswith(f"{premise} ")
            assert theirs.requests[0].query.startswith(f"{premise[:-1] if language == 'th' else premise} ")


def test_a_copy_without_labels_is_missing_and_never_scored(mirror: Path) -> None:
    from datasets import Dataset

    check = utils("paws_x").german
    rows = [{"id": i, "sentence1": "Ja.", "sentence2": "Ja doch.", "label": i % 2} for i in range(3)]
    assert len(check(Dataset.from_list(rows))) == 3
    for label in (-1, None):
        with pytest.raises(MissingError, match=r"config de: 1 of 3 rows .* no label \(0 or 1\), the first with id 1\."):
            check(Dataset.from_list([*rows[:1], {**rows[1], "label": label}, rows[2]]))
    with pytest.raises(MissingError, match=r"paws_x_tag_es: its data set \S+ lacks 'test'"):
        plan("paws_x", mirror=mirror)


def test_a_missing_language_is_a_missing_benchmark_with_a_reason(mirror: Path) -> None:
    from harness.plan import make_plan

    chosen = [config(name, mirror=mirror) for name in ("belebele", "paws_x", "xstorycloze")]
    benchmarks = [each.benchmarks[0] for each in chosen]
    made = make_plan(benchmarks, chosen[0].source, chosen[0].settings, strict=False, named=False)
    assert not made.benchmarks
    assert list(made.skipped) == ["belebele", "paws_x", "xstorycloze"]
    assert "has no config arb_Arab" in made.skipped["belebele"]
    assert "has no data set juletxara/xstory_cloze" in made.skipped["xstorycloze"]
    assert not [reason for reason in made.skipped.values() if "\n" in reason]


def test_pairs_with_an_empty_sentence_are_left_out() -> None:
    from datasets import Dataset

    rows = [
        {"id": i, "sentence1": "Ja.", "sentence2": text, "label": 1} for i, text in enumerate(["Ja doch.", "", None])
    ]
    left = utils("paws_x").german(Dataset.from_list(rows))
    assert left["texts"][0] == ["Ja, richtig? Nein, ja doch.", "Ja, richtig? Ja, ja doch."]
    assert left["id"] == [0]


@pytest.mark.parametrize(
    ("benchmark", "reading"), [(name, ()) for name in SETS] + [("paws_x", ("paws_x.form=letters",))]
)
def test_a_model_that_knows_the_answers_gets_them_all(benchmark: str, reading: tuple[str, ...]) -> None:
    from harness.backends.base import Scored
    from harness.plan import Plan
    from harness.score.scorer import score_plan
    from harness.score.summary import summarise

    made = plan(benchmark, *reading)
    responses = {}
    for task in made.tasks:
        for doc in task.docs:
            likely = right(benchmark, doc.doc, bool(reading))
            for request in doc.requests:
                assert isinstance(request, Score)
                texts = [request.query + text for text in request.continuations]
                values = tuple(-1.0 if likely in text else -2.0 for text in texts)
                responses[request.hash] = Scored(values, tuple(False for _ in texts), 0)
    whole = Plan((made,), {})
    found = summarise(whole, score_plan(whole, responses))
    assert found["benchmarks"][benchmark]["value"] == 1.0
    kinds = {task["stderr_kind"] for task in found["tasks"].values()}
    assert kinds == {"clustered" if benchmark in ("belebele", "xwinograd") else "iid"}


def right(benchmark: str, doc: dict[str, Any], letters: bool) -> str:
    """Words of the right answer, from the columns of the data set."""
    if benchmark == "belebele":
        return f"Answer: {'_ABCD'[int(doc['correct_answer_num'])]}"
    if benchmark == "xcopa":
        return str(doc[f"choice{doc['label'] + 1}"][1:])
    if benchmark == "xwinograd":
        return str(doc["sentence"].partition("_")[0] + doc[f"option{doc['answer']}"])
    if benchmark == "xstorycloze":
        return str(doc[f"sentence_quiz{doc['answer_right_ending']}"])
    if letters:
        return "Answer: A" if doc["label"] == 1 else "Answer: B"
    return str(doc["texts"][doc["label"]])
