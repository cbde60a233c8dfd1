"""Flores: directions, joined sentences, the row's BLEU, and what the receipt says of it."""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sacrebleu

from harness.backends.base import Generated
from harness.errors import MissingError
from harness.plan import Plan
from harness.plan.planner import TaskPlan
from harness.receipt import benchmark_entry
from harness.score.scorer import TaskScores, score_plan
from harness.score.summary import summarise, task_summary
from tests.tasks.support import plan, utils

TWELVE = {"ar", "es", "fr", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "id"}
TOKENIZER = {"zh": "zh", "ja": "char", "th": "char"}


def test_directions_are_those_of_the_protocol() -> None:
    tasks = plan("flores").tasks
    directions = {tuple(task.name.removeprefix("flores_101_").split("_")) for task in tasks}
    assert directions == {pair for hub in ("zh", "en") for x in TWELVE for pair in ((hub, x), (x, hub))}
    assert len(tasks) == 48
    assert {task.task.config.metadata["language"] for task in tasks} == TWELVE


def test_a_doc_joins_the_same_sentence_of_two_languages() -> None:
    made = {task.name: task for task in plan("flores").tasks}
    there, back = made["flores_101_en_th"], made["flores_101_th_en"]
    for one, other in zip(there.docs, back.docs, strict=True):
        assert one.doc_id == other.doc_id
        assert one.doc["text"] == f"English: {other.doc['translation']}\nThai:"
        assert other.doc["text"] == f"Thai: {one.doc['translation']}\nEnglish:"
        # a prompt ends without a space, and its stop is the end of the line
        assert one.requests[0].stop[0] == "\n"  # type: ignore[union-attr]


def test_docs_are_joined_by_id_whatever_their_order() -> None:
    from datasets import Dataset

    def load(repo: str, config: str) -> Any:
        ids = [3, 1, 2] if config == "eng" else [1, 2, 3]
        rows = [{"id": i, "sentence": f"{config} {i} \n"} for i in ids]
        return {"dev": Dataset.from_list(rows), "devtest": Dataset.from_list(rows)}

    data = utils("flores").pairs("en", "ko", load=load)
    assert [(d["text"], d["translation"]) for d in data["devtest"]] == [
        (f"English: eng {i}\nKorean:", f"kor {i}") for i in (3, 1, 2)
    ]


def worse(text: str, i: int) -> str:
    """A translation that misses its last words, or everything."""
    return "\n" if i % 3 == 2 else f" {text[: -5 - 2 * (i % 3)]}"


def scored(*overrides: str) -> tuple[Plan, list[TaskScores]]:
    made = plan("flores", *overrides)
    responses = {}
    for task in made.tasks:
        for i, doc in enumerate(task.docs):
            responses[doc.requests[0].hash] = Generated(worse(doc.doc["translation"], i), "stop", 1, 1)
    whole = Plan((made,), {})
    return whole, score_plan(whole, responses)


def exact_stderr(tasks: Sequence[TaskPlan]) -> float:
    """Over every way to draw as many sentences as there are, the same ones in all directions, by sacrebleu itself."""
    items = len(tasks[0].docs)
    draws = Counter(tuple(sorted(draw)) for draw in itertools.product(range(items), repeat=items))
    rows = []
    for draw in draws:
        figures = []
        for task in tasks:
            references = [task.docs[i].doc["translation"] for i in draw]
            texts = [worse(text, i).strip() for text, i in zip(references, draw, strict=True)]
            tokenizer = TOKENIZER.get(task.name.rpartition("_")[2], "13a")
            figures.append(sacrebleu.corpus_bleu(texts, [references], tokenize=tokenizer).score)
        rows.append(np.mean(figures))
    shares = np.array(list(draws.values())) / items**items
    return float(np.sqrt(shares @ (rows - shares @ rows) ** 2))


def test_the_row_is_the_mean_of_sacrebleus_figures() -> None:
    whole, scores = scored()
    row = summarise(whole, scores)["benchmarks"]["flores"]
    expected = []
    for task in whole.benchmarks[0].tasks:
        references = [doc.doc["translation"] for doc in task.docs]
        texts = [worse(text, i).strip() for i, text in enumerate(references)]
        tokenizer = TOKENIZER.get(task.name.rpartition("_")[2], "13a")
        expected.append(sacrebleu.corpus_bleu(texts, [references], tokenize=tokenizer).score)
    assert row["value"] == pytest.approx(np.mean(expected))
    assert (row["unit"], row["n"], row["average"]) == ("points", 144, "macro")
    assert 20 < row["value"] < 100
    assert row["stderr"] == pytest.approx(exact_stderr(whole.benchmarks[0].tasks), rel=0.1)
    # one answer in three is empty: an empty translation, and counted as such
    assert row["unparsed"] == pytest.approx(1 / 3)


def test_the_receipt_holds_the_signature_of_each_direction() -> None:
    entry = benchmark_entry(plan("flores", "limit=48"))
    for name, task in entry["tasks"].items():
        tokenizer = TOKENIZER.get(name.rpartition("_")[2], "13a")
        version = sacrebleu.__version__
        assert task["signature"] == f"nrefs:1|case:mixed|eff:no|tok:{tokenizer}|smooth:exp|version:{version}"
    assert entry["options"] == {"tokenizer": "language", "prompt": "names"}
    assert len(entry["data"]) == 14


@pytest.mark.parametrize(("choice", "module"), [("mecab", "MeCab"), ("spm", "sentencepiece")])
def test_a_tokenizer_that_is_missing_stops_the_plan(choice: str, module: str) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    with pytest.raises(MissingError, match=rf"(?s)sacrebleu's tokenizer .*harness\[{choice}\]"):
        plan("flores", f"flores.tokenizer={choice}", "limit=48")


def test_errors_of_the_whole_set_are_drawn_in_seconds() -> None:
    """The bootstrap of one direction of 1,012 sentences, 48 times over, takes less than a minute of one processor."""
    _, scores = scored("limit=48")
    rows = [tuple(int(x) for x in row) for row in np.random.default_rng(0).integers(1, 30, size=(1012, 10))]
    first = scores[0]
    long = first.samples.iloc[[0] * len(rows)]
    whole = TaskScores(**{**vars(first), "samples": long, "values": {"bleu": rows}})
    started = time.process_time()
    found = task_summary(whole)
    assert time.process_time() - started < 60 / 48
    assert found["stderr"] > 0
