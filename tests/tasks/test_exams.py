"""Exams in many languages: real-looking repositories load, labels are read as each set writes them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.config import load
from harness.errors import MissingError
from harness.plan import Source, make_plan
from harness.plan.library import leaf_configs
from harness.plan.planner import BenchmarkPlan
from tests.tasks.support import plan, spec, utils

EXAMS = ("m3exam", "indommlu", "rummlu", "mmmlu")
M3EXAM = {"portuguese": "pt", "italian": "it", "vietnamese": "vi", "thai": "th"}
NAMES = ("Arabic", "Spanish", "French", "Portuguese", "Deutsch", "Italian", "Japanese", "Korean")
LANGUAGES = ["ar", "es", "fr", "pt", "de", "it", "ja", "ko"]


def table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def asked(mirror: Path, benchmark: str) -> BenchmarkPlan:
    return plan(benchmark, mirror=mirror)


# M3Exam: parquet files by language and split, listed in the front matter


def m3exam(text: str, answer: str, options: list[str], background: str = "") -> dict[str, Any]:
    names = ("language", "level", "subject", "subject_category")
    return {
        "question_text": text,
        "background": background,
        "answer_text": answer,
        "options": options,
        **dict.fromkeys(names, "x"),
    }


def test_m3exam_loads_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    repo = tmp_path / "chiayewken" / "m3exam"
    front = ["---", "configs:"]
    for language in M3EXAM:
        front += [f"- config_name: {language}", "  data_files:"]
        for split in ("dev", "test"):
            front += [f"  - split: {split}", f"    path: {language}/{split}-*"]
            options = ["(1) um", "(2) dois", "(3) três", "(4) quatro"]
            rows = [m3exam(f"{split} {i}?", str(i % 4 + 1), options, f"A {split} text." * (i > 3)) for i in range(6)]
            parquet(repo / language / f"{split}-00000-of-00001-0a.parquet", rows)
    (repo / "README.md").write_text("\n".join([*front, "---", "Text."]), encoding="utf-8")
    made = asked(tmp_path, "m3exam")
    assert made.complete
    assert [task.task.config.metadata["language"] for task in made.tasks] == list(M3EXAM.values())
    request = made.tasks[0].docs[5].requests[0]
    assert request.query == "A test text.\nQuestão: test 5?\nA. um\nB. dois\nC. três\nD. quatro\nResposta:"
    alone, together = [f"test {i}?" for i in range(4)], ["A test text."] * 2
    assert [doc.doc["passage"] for doc in made.tasks[0].docs] == alone + together


@pytest.mark.parametrize(
    ("answer", "options", "labels", "gold", "shown"),
    [
        ("2", ["(1) a", "(2) b", "(3) c"], "letters", 1, ["A. a", "B. b", "C. c"]),
        ("2", ["(1) a", "(2) b", "(3) c"], "own", 1, ["1. a", "2. b", "3. c"]),
        ("b", ["A. a", "B. b"], "letters", 1, ["A. a", "B. b"]),
        ("๓", ["๑. a", "๒. b", "๓. c", "๔. d"], "letters", 2, ["A. a", "B. b", "C. c", "D. d"]),
        ("3", ["๑. a", "๒. b", "๓. c", "๔. d"], "letters", 2, ["A. a", "B. b", "C. c", "D. d"]),
        ("1", ["1.5 km", "2.5 km"], "letters", 0, ["A. 5 km", "B. 5 km"]),
        ("1", ["3.5 km", "4.5 km"], "letters", 0, ["A. 3.5 km", "B. 4.5 km"]),
        ("(2)", ["one", "two"], "own", 1, ["1. one", "2. two"]),
    ],
)
def test_labels_of_m3exam(answer: str, options: list[str], labels: str, gold: int, shown: list[str]) -> None:
    made = utils("m3exam").prepared(m3exam("?", answer, options), 0, labels)
    assert (made["gold"], made["options"]) == (gold, shown)
    assert made["labels"] == [line.partition(".")[0] for line in shown]


@pytest.mark.parametrize("answer", ["", "5", "E", "x", "AB"])
def test_a_key_of_m3exam_that_names_no_option_is_left_out(answer: str) -> None:
    assert utils("m3exam").prepared(m3exam("?", answer, ["A. a", "B. b", "C. c", "D. d"]), 0, "letters") is None


# IndoMMLU: one table of all subjects


def indommlu(folder: Path, rows: Sequence[Sequence[object]]) -> None:
    names = ["id", "subject", "level", "kelas", "soal", "jawaban", "kunci", "sumber", "is_for_fewshot"]
    table(folder / "indolem" / "IndoMMLU" / "IndoMMLU.csv", [names, *rows])


def test_indommlu_loads_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    subjects = [leaf["dataset_kwargs"]["subject"] for leaf in leaf_configs("indommlu_native")]
    rows = [
        [0, s, "SMA", "X ", f"Soal {i},\ndua baris", "A. satu\nB. dua\nC. tiga", "ABC"[i % 3], "", int(i < 3)]
        for s in subjects
        for i in range(5)
    ]
    rows.append([0, "Kimia ", "SMA", "X", "Tanpa kunci", "A. satu\nB. dua", "E", "", 0])
    indommlu(tmp_path, rows)
    made = asked(tmp_path, "indommlu")
    assert made.complete
    assert len(made.tasks) == 25
    assert sum(len(task.docs) for task in made.tasks) == 50
    for task in made.tasks:
        # the three questions that the set puts aside are the shots, and are not asked
        assert [doc.doc["question"][:6] for doc in task.docs] == ["Soal 3", "Soal 4"]
        prefix = task.docs[0].requests[0].prefix
        assert [prefix.index(f"Soal: Soal {i},") for i in range(3)] == sorted(
            prefix.index(f"Soal: Soal {i},") for i in range(3)
        )
        assert task.docs[0].doc["subject"] in prefix


def test_a_subject_that_the_table_lacks_is_missing(tmp_path: Path) -> None:
    indommlu(tmp_path, [[0, "Sejarah", "SMA", "X", "Soal", "A. a\nB. b", "A", "", 0]])
    with pytest.raises(MissingError, match=r"indolem/IndoMMLU has no questions of the subject Agama Hindu"):
        asked(tmp_path, "indommlu")


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("A. satu\nB. dua\nC. tiga", {"A": "satu", "B": "dua", "C": "tiga"}),
        ("A.satu\n B. bukan\nB. dua\nbaris\nA. juga", {"A": "satu\n B. bukan", "B": "dua\nbaris\nA. juga"}),
        ("A. 1\r\nB. 2\r\nC. 3\r\nD. 4\r\nE. 5", {"A": "1", "B": "2", "C": "3", "D": "4", "E": "5"}),
        ("satu, dua", {}),
    ],
)
def test_options_of_indommlu(cell: str, options: dict[str, str]) -> None:
    assert utils("indommlu").options(cell) == options


# ruMMLU: the hub's conversion of a script, one folder a subject and split


def test_rummlu_loads_from_the_hubs_conversion(tmp_path: Path) -> None:
    repo = tmp_path / "NLPCoreTeam" / "mmlu_ru"
    subjects = [leaf["dataset_name"] for leaf in leaf_configs("rummlu_native")]
    assert len(subjects) == 57
    for subject in subjects:
        for split, n in (("dev", 5), ("val", 1), ("test", 2)):
            rows = [
                {
                    "question_en": "?",
                    "choices_en": list("abcd"),
                    "answer": i % 4,
                    "question_ru": f"{subject} {split} {i}",
                    "choices_ru": list("абвг"),
                }
                for i in range(n)
            ]
            parquet(repo / subject / split / "0000.parquet", rows)
    made = asked(tmp_path, "rummlu")
    assert made.complete
    assert [len(task.docs) for task in made.tasks] == [2] * 57
    request = made.tasks[3].docs[1].requests[0]
    assert request.query == f"Вопрос: {subjects[3]} test 1\nA. а\nB. б\nC. в\nD. г\nОтвет:"
    assert request.prefix.count("\n\n") == 6


# mMMLU: tables without names of columns, one a subject and split


def mmmlu(folder: Path, subjects: dict[str, int]) -> None:
    for name in NAMES:
        for subject, n in subjects.items():
            for split, rows in (("dev", 5), ("test", n)):
                path = folder / f"FreedomIntelligence/MMLU_{name}/mmlu_{name}/{split}/{subject}_{split}.csv"
                cells = [
                    [f"{subject} {split} {i}, '\"?", "None", "1", "NA", "TRUE", "ABCD"[i % 4]] for i in range(rows)
                ]
                table(path, cells)


def test_mmmlu_loads_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    mmmlu(tmp_path, {"virology": 3, "anatomy": 4})
    made = asked(tmp_path, "mmmlu")
    assert made.complete
    assert len(made.repos) == 8
    assert [task.task.config.metadata["language"] for task in made.tasks] == [
        "ar",
        "es",
        "fr",
        "pt",
        "de",
        "it",
        "ja",
        "ko",
    ]
    for task in made.tasks:
        assert [doc.doc_id for doc in task.docs] == [
            *(f"anatomy/{i}" for i in range(4)),
            *(f"virology/{i}" for i in range(3)),
        ]
        for doc in task.docs:
            request = doc.requests[0]
            subject, other = sorted(("anatomy", "virology"), key=lambda name: name != doc.doc["subject"])
            # five shots, all of the asked subject; every cell is text as it stands
            assert request.prefix.count(f"{subject} dev") == 5
            assert f"{other} dev" not in request.prefix
            assert "A. None\nB. 1\nC. NA\nD. TRUE\n" in request.query


def test_seeded_shots_are_of_the_asked_subject_too(tmp_path: Path) -> None:
    mmmlu(tmp_path, {"virology": 3, "anatomy": 4})
    chosen = load(
        ["benchmarks=[mmmlu]", "data=mirror", f"data.root={tmp_path}", "fewshot.sampler=seeded", "shots.mmmlu=4"]
    )
    made = make_plan(chosen.benchmarks, chosen.source, chosen.settings, strict=True, named=True).benchmarks[0]
    for doc in made.tasks[0].docs:
        assert doc.requests[0].prefix.count(f"{doc.doc['subject']} dev") == 4


# all four


@pytest.mark.parametrize("benchmark", EXAMS)
def test_a_mirror_without_the_set_says_what_to_download(benchmark: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"data\.root = .* has no data set ") as caught:
        asked(tmp_path, benchmark)
    assert caught.value.remedy.startswith("Download it: hf download ")
    assert "\n" not in caught.value.problem + caught.value.remedy


@pytest.mark.parametrize("benchmark", EXAMS)
def test_out_of_the_hubs_reach_is_one_line(benchmark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    chosen = load([f"benchmarks=[{benchmark}]", "data=hub"])
    with pytest.raises(MissingError, match=r"data = hub, but .* is not in the hub's cache"):
        make_plan(chosen.benchmarks, Source("hub"), chosen.settings, strict=True, named=True)


def test_shots_are_those_of_the_protocol() -> None:
    assert {name: spec(name)["shots"] for name in EXAMS} == {"m3exam": 5, "indommlu": 3, "rummlu": 5, "mmmlu": 5}


@pytest.mark.parametrize("benchmark", EXAMS)
def test_sample_docs_are_enough_and_no_answer_is_always_right(benchmark: str) -> None:
    made = plan(benchmark)
    docs = [(task, doc) for task in made.tasks for doc in task.docs]
    assert len(docs) >= 12
    assert min(len(task.docs) for task in made.tasks) >= 3
    golds = Counter(task.task.doc_to_target(doc.doc) for task, doc in docs)
    assert max(golds.values()) <= len(docs) // 2
    for _, doc in docs:
        question = doc.requests[0].query
        assert question not in doc.requests[0].prefix
