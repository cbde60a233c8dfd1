from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.score import expressions
from harness.score.expressions import Judge


def test_equal_expressions() -> None:
    assert expressions.equal(r"\boxed{\frac{1}{2}}", "It is $0.5$.")
    assert not expressions.equal(r"\boxed{\frac{1}{2}}", "It is $0.25$.")
    assert not expressions.equal(r"\boxed{3}", "no idea")


def test_any_thread_may_ask() -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: expressions.equal(rf"\boxed{{{n}}}", rf"\boxed{{{n}}}"), (4, 5)))
    assert answers == [True, True]


def test_a_process_that_hangs_is_ended_and_the_next_question_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge()
    try:
        assert judge.equal(r"\boxed{2}", r"\boxed{2}")
        monkeypatch.setattr(expressions, "SECONDS", 0.5)
        assert judge._process is not None
        judge._process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert not judge.equal(r"\boxed{2}", r"\boxed{2}")
        assert time.monotonic() - began < 5
        monkeypatch.setattr(expressions, "SECONDS", 30.0)
        assert judge.equal(r"\boxed{2}", r"\boxed{2}")
    finally:
        judge.close()


def test_a_process_that_dies_is_replaced() -> None:
    judge = Judge()
    try:
        assert judge.equal(r"\boxed{2}", r"\boxed{2}")
        assert judge._process is not None
        judge._process.kill()
        judge._process.wait()
        assert not judge.equal(r"\boxed{2}", r"\boxed{2}")
        assert judge.equal(r"\boxed{2}", r"\boxed{2}")
    finally:
        judge.close()


@pytest.mark.parametrize("text", [r"$9^{9^{9^{9^{9}}}}$", "(" * 5_000, r"\frac{" * 5_000, "\ud800", "9" * 10_000])
def test_expressions_that_cannot_be_worked_out_are_not_equal(text: str) -> None:
    began = time.monotonic()
    assert not expressions.equal(r"\boxed{2}", text)
    assert time.monotonic() - began < expressions.SECONDS + 5
