"""No text that a model may write stops an extractor or a comparison: of every task, within its limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.config import load
from harness.plan import library
from harness.plan.lettered import LETTERS, letter
from harness.replay.programs import source
from harness.score.execution import Program, evalplus, multipl_e
from harness.score.extract import UNPARSED, Extracted, Rule, extract
from harness.score.limit import EXTRACTION_SECONDS, OutOfTime, limited
from harness.score.programs import assembled, run_all
from harness.score.scorer import valid, verdict
from tests.tasks.support import OWN, plan, utils

MEGABYTE = 1 << 20
BENCHMARKS = ("mmlu_pro", "gpqa", "bbh", "gsm8k", "math", "theoremqa", "mgsm", "flores")
# a lettered question whose choices are letters, one whose choices are listed, and the longest list
CHOICES = ("ABCD", ("an iron pan", "a wooden spoon"), tuple(f"choice {i}" for i in range(26)))
PHRASES = (
    "",
    "The answer is ",
    "the answer is (",
    "Final Answer: The final answer is $",
    "Answer: ",
    "\nA: ",
    r"\boxed{",
    "The correct answer is (",
    "答案是",
    "La respuesta es ",
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
    "1 000" * (MEGABYTE // 5),
    "1.000," * (MEGABYTE // 6),
    "(" * MEGABYTE,
    "\n" * MEGABYTE,
    "A " * (MEGABYTE // 2),
    "答案是" * (MEGABYTE // 3),
)
CODE = (
    *NASTY,
    "```" * (MEGABYTE // 3),
    "```x" * (MEGABYTE // 4),
    "```python\n" * (MEGABYTE // 10),
    "\ndef f" + " " * MEGABYTE,
    "public static " * (MEGABYTE // 14),
    "import static " + " " * MEGABYTE,
    "class Problem {" * (MEGABYTE // 15),
    "function " * (MEGABYTE // 9),
    "\n}" * (MEGABYTE // 2),
)
STUBS = {
    "python": "def f(x):\n",
    "java": "class Problem {\n    public static long f(long x) {\n",
    "cs": "class Problem {\n    public static long f(long x) {\n",
    "cpp": "long f(long x) {\n",
    "php": "<?php\nfunction f($x) {\n",
    "sh": "#!/bin/bash\nf() {\n",
    "js": "function f(x) {\n",
    "ts": "function f(x: number): number {\n",
}
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=200),
    st.text(alphabet=r"\{}()[]$^_=,.-+*/0123456789abfracsqrt ", max_size=300),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Nd", "Sm"]), max_size=50),
)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """One task of each extractor, with a doc: of MGSM, one for each way to part thousands."""
    planned = {name: plan(name, "limit=1").tasks[0] for name in BENCHMARKS if name != "mgsm"}
    languages = {task.name.rpartition("_")[2]: task for task in plan("mgsm", "limit=6").tasks}
    return planned | {f"mgsm {language}": languages[language] for language in ("es", "ru", "th")}


def test_every_task_that_generates_text_is_among_them() -> None:
    rows = load([f"benchmarks=[{','.join(OWN)}]", "data=sample"]).benchmarks
    written = {row.name for row in rows if library.leaf_configs(row.tasks[0])[0]["output_type"] == "generate_until"}
    assert written == {*BENCHMARKS, "humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "multipl_e"}


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
            # BLEU has counts instead
            assert all(isinstance(value, tuple) or 0 <= value <= 1 for value in worth.values())
            valid(taken).encode()
        assert time.monotonic() - began < task_limit, (name, before, text[:40])


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:12]))
def test_the_known_traps(tasks: dict[str, Any], text: str) -> None:
    for name, planned in tasks.items():
        for before in ("", "The answer is ", "Answer: ", "La respuesta es "):
            for apply in filters(planned.task).values():
                began = time.monotonic()
                apply([[before + text]], [planned.docs[0].doc])
                # processor time would be fairer, and an alarm counts the clock
                assert time.monotonic() - began < EXTRACTION_SECONDS + 1, (name, before)


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("choices", CHOICES, ids=len)
def test_letters_of_traps(choices: Sequence[str], text: str) -> None:
    for before in PHRASES:
        began = time.monotonic()
        found = letter(before + text, LETTERS[: len(choices)], choices)
        assert time.monotonic() - began < EXTRACTION_SECONDS + 1, before
        assert (found == UNPARSED) == (found.rule is None)


@settings(max_examples=200, deadline=None)
@given(before=st.sampled_from(PHRASES), text=TEXTS, choices=st.sampled_from(CHOICES))
def test_a_letter_is_one_of_the_choices_or_none(before: str, text: str, choices: Sequence[str]) -> None:
    found = letter(before + text, LETTERS[: len(choices)], choices)
    assert found in (UNPARSED, *LETTERS[: len(choices)])


@pytest.mark.parametrize("text", CODE, ids=lambda text: ascii(text[:12]))
def test_programs_of_traps_are_assembled_or_unparsed(text: str) -> None:
    makers: list[Callable[[dict[str, Any], str], Any]] = [
        lambda doc, answer: evalplus.completed(STUBS["python"], answer),
        lambda doc, answer: evalplus.answered(STUBS["python"], answer, "f"),
        lambda doc, answer: multipl_e.base_program(doc["language"], doc["stub"], answer, "", ["\n}"], "f"),
        lambda doc, answer: multipl_e.chat_program(doc["language"], doc["stub"], answer, ""),
        lambda doc, answer: multipl_e.chat_program(doc["language"], doc["stub"], answer, "", published=True),
        lambda doc, answer: source(doc["stub"], answer),
    ]
    for language, stub in STUBS.items():
        for make in makers:
            began = time.monotonic()
            assembled(make, {"language": language, "stub": stub}, text)
            assert time.monotonic() - began < EXTRACTION_SECONDS + 1, language


@pytest.mark.parametrize("chat", [False, True])
def test_programs_of_traps_are_judged(chat: bool) -> None:
    doc = {
        "prompt": STUBS["python"],
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }
    texts = [text for text in CODE if len(text) <= 100_000 or "```" in text]
    (statuses,) = utils("humaneval").run_base_tests([texts], [doc], chat=chat)
    assert len(statuses) == len(texts)
    assert "passed" not in statuses


def test_a_program_that_cannot_be_made_in_time_is_unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.score.programs.EXTRACTION_SECONDS", 0.2)

    def make(doc: dict[str, Any], text: str) -> Program:
        if text == "slow":
            time.sleep(5)
        return Program("python", text, "assert f(1) == 1\n", "f")

    right = "def f(x):\n    return x\n"
    ((slow, passed),) = run_all([["slow", right]], [{}], make)
    assert (str(slow), slow.rule) == (UNPARSED, None)
    assert (str(passed), passed.rule) == ("passed", "executed")


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
