"""Rows made of members: their weights, figures and standard errors, in the table and where a member is missing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.plan import Benchmark, Composite, Plan, Settings, Source, make_plan
from harness.report import load_published, make_table
from harness.report.table import RunScores
from harness.score.composite import by_languages, by_members
from harness.score.scorer import score_plan
from harness.score.summary import summarise
from tests.conftest import rule_answer

MEMBERS = (
    Benchmark("c_eval", "C-Eval part", ("c_eval_val",), 5, "acc", None, "macro"),
    Benchmark("gsm8k", "GSM8K part", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible"),
)
ROW = Composite("multi_exam", "Multi-Exam", ("c_eval", "gsm8k"))


def summary(row: Composite) -> dict[str, Any]:
    made = make_plan(MEMBERS, Source("sample"), Settings(), strict=True, named=True)
    plan = Plan(made.benchmarks, {}, (row,))
    return summarise(plan, score_plan(plan, {r.hash: rule_answer(r) for r in plan.requests}))


def test_a_row_is_the_mean_of_its_members() -> None:
    found = summary(ROW)["benchmarks"]
    row, exam, math = found["multi_exam"], found["c_eval"], found["gsm8k"]
    assert row["value"] == pytest.approx((exam["value"] + math["value"]) / 2)
    assert row["n"] == exam["n"] + math["n"]
    assert row["members"] == ["c_eval", "gsm8k"]
    assert (exam["part_of"], math["part_of"]) == ("Multi-Exam", "Multi-Exam")
    assert sum(row["weights"].values()) == pytest.approx(1.0)


def test_members_stand_below_their_row_and_have_no_published_figure() -> None:
    scores = summary(ROW)
    receipt = {"model": {"model": "m", "kind": "base"}}
    lines = make_table(load_published(), [RunScores("run", receipt, scores)], "Qwen2-72B").lines
    place = next(i for i, line in enumerate(lines) if line.title == "Multi-Exam")
    assert [(line.title, line.part_of) for line in lines[place + 1 : place + 3]] == [
        ("C-Eval part", "Multi-Exam"),
        ("GSM8K part", "Multi-Exam"),
    ]
    assert lines[place].measured[0] is not None
    assert set(lines[place + 1].published) == {None}


def test_without_a_member_there_is_no_figure() -> None:
    found = summary(Composite("multi_exam", "Multi-Exam", ("c_eval", "gsm8k", "m3exam")))["benchmarks"]
    assert "multi_exam" not in found
    assert found["c_eval"]["part_of"] == "Multi-Exam"


def test_weights_by_members_and_by_languages() -> None:
    members = {"a": {"weights": {"a_pt": 0.5, "a_it": 0.5}}, "b": {"weights": {"b_pt": 0.25, "b_de": 0.75}}}
    assert by_members(members) == {"a_pt": 0.25, "a_it": 0.25, "b_pt": 0.125, "b_de": 0.375}
    languages = {"a_pt": "pt", "a_it": "it", "b_pt": "pt", "b_de": "de"}
    # Portuguese is the mean of two members, the others have one; each language is a third
    expected = {"a_pt": 1 / 6, "b_pt": 1 / 6, "a_it": 1 / 3, "b_de": 1 / 3}
    assert by_languages(members, languages) == pytest.approx(expected)
