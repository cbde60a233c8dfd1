"""The time that EvalPlus' way of judging gives: to each call, and to base and plus inputs each on its own."""

from __future__ import annotations

import dataclasses

import pytest

from harness.score.execution import evalplus

BUSY = """
import time

def spend(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds
"""
REFERENCE = "def spend(seconds):\n    return seconds\n"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for a half of the inputs, and one more for its start; a second for each call."""
    monkeypatch.setattr(evalplus, "LIMITS", dataclasses.replace(evalplus.LIMITS, wall=0.5))


def judged(base: list[float], plus: list[float]) -> evalplus.PlusVerdict:
    problem = evalplus.Problem("T/0", "spend", REFERENCE, tuple([s] for s in base), tuple([s] for s in plus))
    return evalplus.evaluate({"T/0": problem}, [("T/0", BUSY)], workers=1)[0]


def test_each_half_has_its_own_time() -> None:
    verdict = judged([0.6, 0.6], [0.6, 0.6])
    assert (verdict.base.status, verdict.plus.status) == ("passed", "passed")


def test_a_half_that_used_up_its_time_ends() -> None:
    verdict = judged([0.1], [0.6, 0.6, 0.6])
    assert (verdict.base.status, verdict.plus.status) == ("passed", "timeout")
    verdict = judged([0.6, 0.6, 0.6], [0.1])
    assert (verdict.base.status, verdict.plus.status) == ("timeout", "timeout")


@pytest.mark.parametrize(("base", "plus"), [([], [0.6, 0.6]), ([0.6, 0.6], [])])
def test_a_half_may_be_empty(base: list[float], plus: list[float]) -> None:
    assert judged(base, plus).plus.status == "passed"


def test_a_call_has_its_own_limit() -> None:
    assert judged([1.2], [0.1]).base.status == "timeout"
