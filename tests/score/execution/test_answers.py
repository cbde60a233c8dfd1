"""What becomes of a text that holds code: cases as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.score.execution import evalplus, multipl_e

CASES = Path(__file__).parent / "cases"


def cases(name: str) -> list[Any]:
    data = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["why"]) for case in data]


@pytest.mark.parametrize("case", cases("fences"))
def test_the_first_block(case: dict[str, str]) -> None:
    assert multipl_e.fenced(case["text"]) == case["code"]


@pytest.mark.parametrize("case", cases("stops"))
def test_the_text_up_to_its_first_stop(case: dict[str, Any]) -> None:
    assert multipl_e.cut(case["text"], case["stops"]) == case["kept"]


@pytest.mark.parametrize("case", cases("answers"))
def test_a_stub_and_its_answer(case: dict[str, str]) -> None:
    stub, text = case["stub"], case["text"]
    found = evalplus.completed(stub, text) if case["form"] == "base" else evalplus.answered(stub, text, "f")
    assert found == case["program"]


@pytest.mark.parametrize("case", cases("chat_programs"))
def test_programs_of_chat_models(case: dict[str, Any]) -> None:
    published = case.get("published", False)
    made = multipl_e.chat_program(case["language"], case["stub"], case["text"], "", published=published)
    assert made.source.removesuffix("\n").endswith(case["ends"])
    assert all(text in made.source for text in case["has"])
    assert not [text for text in case["lacks"] if text in made.source]
