"""What is found out about servers that differ in what they can do, ignore, refuse, or get wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from harness.backends.base import Failed, Scored
from harness.backends.openai.found import Found
from harness.collect.budget import Budget
from harness.errors import BackendError, BudgetError, UserError
from harness.plan.request import Message, Score
from tests.backends.openai.fake_model import FakeModel, logprob, logprobs_after, tokens_of
from tests.backends.openai.server import FaultServer
from tests.backends.openai.support import ask, backend


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(latency=0) as running:
        yield running


def found(server: FaultServer, model: FakeModel, budget: Budget | None = None, **options: Any) -> Found:
    server.refuse = model
    made = backend(server.base_url, None, **options)
    made.probe(budget or Budget(None))
    assert made.found is not None
    return made.found


def test_a_server_that_can_do_it_all(server: FaultServer) -> None:
    able = found(server, FakeModel(stops=99))
    assert (able.chat, able.plain, able.echo, able.echo_new, able.prompt_lists) == (True, True, True, 0, True)
    assert (able.top_plain, able.top_chat, able.stops, able.seed, able.n) == (20, 20, 16, True, True)
    assert able.continues == "when told"
    assert len(server.bodies) <= 12, "a probe is some small requests"
    assert all(body.get("max_tokens", 16) <= 16 for body in server.bodies)


@pytest.mark.parametrize(("model", "expected"), [
    (FakeModel(chat=False), {"chat": False, "plain": True, "echo": True, "n": False}),
    (FakeModel(plain=False), {"chat": True, "plain": False, "echo": False, "top_plain": 0}),
    (FakeModel(echo=False), {"echo": False, "top_plain": 20}),
    (FakeModel(top=5, top_chat=5), {"echo": True, "top_plain": 5, "top_chat": 5}),
    (FakeModel(top=0, top_chat=0), {"echo": False, "top_plain": 0, "top_chat": 0}),
    (FakeModel(lists=False, least_new=1), {"echo": True, "echo_new": 1, "prompt_lists": False}),
    (FakeModel(continues="by itself"), {"continues": "by itself"}),
    (FakeModel(continues="no", seeds=False), {"continues": "no", "seed": False, "stops": 4, "n": True}),
    (FakeModel(limit_key="max_completion_tokens"), {"chat": True, "limit_key": "max_completion_tokens"}),
])  # fmt: skip
def test_servers_that_lack_something(server: FaultServer, model: FakeModel, expected: dict[str, Any]) -> None:
    able = found(server, model)
    assert {key: getattr(able, key) for key in expected} == expected


def test_log_probabilities_that_are_off_by_one_are_refused(server: FaultServer) -> None:
    with pytest.raises(UserError, match="not those of the same tokens when it writes them"):
        found(server, FakeModel(shifted=True))


def test_a_server_that_answers_nothing(server: FaultServer) -> None:
    with pytest.raises(BackendError, match="answers neither conversations nor prompts"):
        found(server, FakeModel(chat=False, plain=False))


def test_the_probe_is_paid_from_the_budget(server: FaultServer) -> None:
    budget = Budget(1.0)
    found(server, FakeModel(), budget)
    assert 0 < budget.charged < 0.02
    assert budget.in_flight == 0
    asked = len(server.bodies)
    with pytest.raises(BudgetError, match=r"budget\.usd = 1e-06"):
        found(server, FakeModel(), Budget(1e-6))
    assert len(server.bodies) == asked


def test_a_budget_without_prices_is_no_budget(server: FaultServer) -> None:
    with pytest.raises(UserError, match=r"the price of backend\.model = m is not known"):
        found(server, FakeModel(), Budget(1.0), usd_per_million_in=None)


CONTEXT = "Question: Which is it?\nAnswer:"


def exact(context: str, continuation: str) -> float:
    total = 0.0
    for token in tokens_of(continuation):
        total += logprob(context, token)
        context += token
    return total


@pytest.mark.parametrize("model", [FakeModel(), FakeModel(lists=False, least_new=1)])
def test_echoed_prompts_give_the_log_likelihoods_of_any_text(server: FaultServer, model: FakeModel) -> None:
    server.refuse = model
    made = backend(server.base_url, None)
    asked = Score(CONTEXT[:10], CONTEXT[10:], (" the old house", " A", " the river."))
    answer = ask(made, [asked])[asked.hash]
    assert isinstance(answer, Scored)
    assert answer.logprobs == pytest.approx([exact(CONTEXT, text) for text in asked.continuations])
    best = max(WORD for WORD in logprobs_after(CONTEXT).values())
    assert answer.greedy[1] == (logprob(CONTEXT, " A") == best)
    # a trailing space of the context belongs to the answer
    spaced = Score("", CONTEXT + " ", ("A", "B"))
    answer = ask(made, [spaced])[spaced.hash]
    assert isinstance(answer, Scored)
    assert answer.logprobs == pytest.approx([exact(CONTEXT, " A"), exact(CONTEXT, " B")])


def test_an_answer_that_merges_with_its_context_is_not_guessed(server: FaultServer) -> None:
    server.refuse = FakeModel()
    merged = Score("", "The answer is some", ("thing", "one"))
    strict = ask(backend(server.base_url, None), [merged])[merged.hash]
    assert isinstance(strict, Failed)
    assert "backend.boundary=split" in strict.error
    split = ask(backend(server.base_url, None, boundary="split"), [merged])[merged.hash]
    assert isinstance(split, Scored)
    assert split.logprobs == pytest.approx([-12.0, -12.0])


LETTERS = (" A", " B", " C", " D")


def test_letters_by_the_most_likely_first_tokens(server: FaultServer) -> None:
    server.refuse = FakeModel(echo=False, top=5)
    made = backend(server.base_url, None)
    right = tried = 0
    for i in range(40):
        asked = Score("", f"Question {i}\nAnswer:", LETTERS)
        answer = ask(made, [asked])[asked.hash]
        after = logprobs_after(asked.context)
        listed = sorted(after, key=lambda word: -after[word])[:5]
        if not set(listed) & set(LETTERS):
            assert isinstance(answer, Failed)
            assert "none of the letters" in answer.error
            continue
        tried += 1
        assert isinstance(answer, Scored)
        best = max(LETTERS, key=lambda letter: after[letter])
        right += LETTERS[answer.logprobs.index(max(answer.logprobs))] == best
        for letter, value in zip(LETTERS, answer.logprobs, strict=True):
            assert value == pytest.approx(after[letter]) if letter in listed else value < min(after[w] for w in listed)
    assert right == tried > 5


def test_letters_in_a_conversation(server: FaultServer) -> None:
    server.refuse = FakeModel(plain=False)
    made = backend(server.base_url, None)
    asked = Score("", "", LETTERS, (Message("user", "Which?"),))
    answer = ask(made, [asked])[asked.hash]
    assert isinstance(answer, Scored)
    after = logprobs_after("<user>Which?<assistant>")
    # 20 of 25 words are listed; a letter that is not stands below them
    floor = sorted(after.values())[5]
    for letter, value in zip(LETTERS, answer.logprobs, strict=True):
        assert value == pytest.approx(after[letter]) if after[letter] >= floor else value < floor
    assert not math.isinf(min(answer.logprobs))
