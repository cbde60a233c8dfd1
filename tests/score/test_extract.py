import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.paths import tasks_dir
from harness.score.extract import UNPARSED, Extracted, Rule, extract, number


def helpers(benchmark: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{benchmark}_utils", tasks_dir() / benchmark / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = json.loads((Path(__file__).parent / "cases" / "gsm8k.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["why"]))
def test_gsm8k(case: dict[str, Any]) -> None:
    gsm8k = helpers("gsm8k")
    assert gsm8k.last_number([[case["text"]]], [{}]) == [[case["flexible"]]]
    assert gsm8k.the_answer_is([[case["text"]]], [{}]) == [[case["strict"]]]


def test_the_first_rule_that_finds_something_fires() -> None:
    rules = [Rule("boxed", r"\[(\w+)\]"), Rule("word", r"\w+", "last")]
    assert extract("a [b] c [d]", rules).rule == "boxed"
    assert extract("a [b] c [d]", rules) == "b"
    assert extract("a b c", rules) == "c"
    nothing = extract("...", rules)
    assert (nothing, nothing.rule) == (UNPARSED, None)


def test_an_extracted_answer_is_a_plain_string_to_a_metric() -> None:
    assert Extracted("7", "r") == "7"
    assert f"{Extracted('7', 'r')}!" == "7!"


@given(st.integers(-(10**12), 10**12))
def test_number_undoes_thousands_separators(value: int) -> None:
    assert number(f"{value:,}") == str(value)
    assert number(f"${value:,}.00.") == str(value)
