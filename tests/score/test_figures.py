"""Figures in many scripts and styles: cases as data, and every number there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.score.extract import Rule, extract
from harness.score.figures import pattern, plain

CASES = json.loads((Path(__file__).parent / "cases" / "figures.json").read_text(encoding="utf-8"))
SCRIPTS = ["0123456789", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९"]
GROUPS = {"de": ".", "es": ".", "fr": " ", "ru": "\u00a0", "ja": ",", "th": ","}


def last(text: str, language: str) -> str:
    rule = Rule("last_number", pattern(language), "last")
    return str(extract(text, [rule], lambda found: plain(found, language)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_cases(case: dict[str, Any]) -> None:
    assert last(case["text"], case["language"]) == case["found"]


@given(st.integers(0, 10**9), st.sampled_from(list(GROUPS)), st.sampled_from(SCRIPTS), st.booleans())
def test_every_whole_number_is_read_as_its_language_writes_it(
    value: int, language: str, script: str, grouped: bool
) -> None:
    written = f"{value:,}".replace(",", GROUPS[language]) if grouped else str(value)
    written = written.translate(str.maketrans("0123456789", script))
    assert last(f"= {written}.", language) == str(value)


@given(st.integers(0, 10**6), st.integers(1, 99), st.sampled_from(list(GROUPS)))
def test_every_price_is_read_as_its_language_writes_it(whole: int, cents: int, language: str) -> None:
    decimal = "." if language in ("ja", "th") else ","
    written = f"{whole:,}".replace(",", GROUPS[language]) + f"{decimal}{cents:02}"
    assert float(last(f"= {written} $", language)) == pytest.approx(whole + cents / 100)
