"""No text that a model may write stops an extractor or a comparison: of every task, within its limits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.score.extract import UNPARSED, Extracted, Rule, extract
from harness.score.limit import EXTRACTION_SECONDS, OutOfTime, limited
from harness.score.scorer import valid, verdict
from tests.tasks.support import plan

MEGABYTE = 1 << 20
BENCHMARKS = ("mmlu_pro", "gpqa", "bbh", "gsm8k", "math", "theoremqa")
PHRASES = (
    "",
    "The answer is ",
    "the answer is (",
    "Final Answer: The final answer is $",
    "Answer: ",
    "\nA: ",
    r"\boxed{",
    "The correct answer is (",
)
NASTY = (
    "x" * MEGABYTE,
    " " * MEGABYTE,
    "the answer is " * (MEGABYTE // 14),
    "Final Answer: The final answer is " * (MEGABYTE // 34),
    r"\boxed{" * (MEGABYTE // 7),
    r"\frac{" * 20_000,
    "9" * 10_000,
    "-" * 100_000 + "1",
    "(" * 5_000,
    "(" * 5_000 + "1" + ")" * 5_000,
    "[" * 5_000 + "1," * 5_000 + "]" * 5_000,
    "1," * 200_000,
    r"$\left(\frac{1}{2",
    "9^{9^{9^{9^{9}}}}",
    "2**2**2**2**2**2**2",
    "1e999999",
    "\ud800\udfff\x00\x1b",
    "＄１２，３４５．６７",
)
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=200),
    st.text(alphabet=r"\{}()[]$^_=,.-+*/0123456789abfracsqrt ", max_size=300),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Nd", "Sm"]), max_size=50),
)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """One task of each benchmark that extracts answers, with a doc."""
    return {name: plan(name, "limit=1").tasks[0] for name in BENCHMARKS}


def filters(task: Any) -> dict[str, Any]:
    return {e.name: e.filters[0]().filter_fn for e in task._filters}


def judged(task: Any, doc: dict[str, Any], text: str) -> list[tuple[Extracted, dict[str, Any]]]:
    found = []
    for apply in filters(task).values():
        answer = apply([[text]], [doc])[0][0]
        (taken,), worth = verdict(task, doc, [answer])
        found.append((taken, worth))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.sampled_from(PHRASES), text=TEXTS)
@example(before="The answer is ", text="9" * 10_000)
@example(before=r"\boxed{", text="(" * 5_000)
def test_every_extractor_reads_any_text_or_leaves_it_unparsed(tasks: dict[str, Any], before: str, text: str) -> None:
    for name, planned in tasks.items():
        task, doc = planned.task, planned.docs[0].doc
        # the expressions' own process has a limit and a test of its own
        task_limit = EXTRACTION_SECONDS * len(task._filters) + (30 if name == "math" else 5)
        began = time.monotonic()
        for taken, worth in judged(task, doc, before + text):
            assert (taken == UNPARSED) == (taken.rule is None)
            assert all(0 <= value <= 1 for value in worth.values())
            valid(taken).encode()
        assert time.monotonic() - began < task_limit, (name, before, text[:40])


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_known_traps(tasks: dict[str, Any], name: str, text: str) -> None:
    planned = tasks[name]
    for before in PHRASES:
        for apply in filters(planned.task).values():
            began = time.monotonic()
            apply([[before + text]], [planned.docs[0].doc])
            # processor time would be fairer, and an alarm counts the clock
            assert time.monotonic() - began < EXTRACTION_SECONDS + 1


def test_a_slow_rule_is_unparsed_within_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.score.extract.EXTRACTION_SECONDS", 0.3)
    began = time.monotonic()
    found = extract("a" * 40 + "!", [Rule("doubling", r"(a+)+$")])
    assert found == UNPARSED
    assert time.monotonic() - began < 3


def test_a_comparison_that_fails_counts_as_unparsed() -> None:
    class Fails:
        OUTPUT_TYPE = "generate_until"
        task_name = "fails"

        def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, float]:
            return {"right": 0.0} if results[0] == UNPARSED else {"right": float(int(results[0]))}

    results, worth = verdict(Fails(), {}, ["9" * 5_000])
    assert results == [UNPARSED]
    assert worth == {"right": 0.0}


def slept_too_long(limit: float) -> bool:
    try:
        with limited(limit):
            time.sleep(2)
    except OutOfTime:
        return True
    return False


def outlast_both() -> None:
    with limited(0.5):
        assert slept_too_long(5)
        time.sleep(2)


def test_limits_nest_and_the_outer_one_goes_on() -> None:
    with limited(5):
        assert slept_too_long(0.1)
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        outlast_both()
    assert time.monotonic() - began < 2
