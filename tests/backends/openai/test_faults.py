"""Each fault by itself: the answer is that of a faultless run, and every call beyond one has a fault for its cause."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web

from harness.backends.base import Failed, Generated
from harness.backends.openai import asking
from harness.collect.budget import Budget
from harness.errors import BackendError
from tests.backends.openai.server import BROKEN, HARMLESS, STREAMED, TURNED_AWAY, FaultServer, answer_of, prompt_of
from tests.backends.openai.support import ask, backend, questions

PLAIN = [*TURNED_AWAY, *BROKEN, *HARMLESS]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.02)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", PLAIN)
def test_one_fault_costs_one_call_and_no_answer(fault: str, stream: bool) -> None:
    asked = questions(4)
    with FaultServer(lambda key, attempt: fault if attempt == 0 and "Question 2:" in key else None) as server:
        made = backend(server.base_url, stream=stream)
        answers = ask(made, asked)
    for request in asked:
        answer = answers[request.hash]
        assert isinstance(answer, Generated)
        assert (answer.text, answer.finish) == (answer_of(request.messages[0].text), "stop")
        assert 0 < answer.prompt_tokens < 100
        assert 0 < answer.completion_tokens <= 64
    assert sum(server.faults.values()) == 1
    # what the page's streams say twice in a row is asked for once more, as a whole
    doubtful = 4 if stream else 0
    assert sum(server.calls.values()) <= 4 + (fault not in HARMLESS) + doubtful


@pytest.mark.parametrize("fault", STREAMED)
@pytest.mark.parametrize("page", [True, False])
def test_streams_that_hold_other_chunks(fault: str, page: bool) -> None:
    asked = questions(3)
    script = lambda key, attempt: fault if attempt == 0 else None  # noqa: E731
    with FaultServer(script, page=page) as server:
        answers = ask(backend(server.base_url, stream=True), asked)
    assert [answers[r.hash].text for r in asked] == [answer_of(r.messages[0].text) for r in asked]  # type: ignore[union-attr]


def test_a_model_that_repeats_itself_is_believed_where_tokens_are_counted() -> None:
    asked = questions(3)
    with FaultServer(page=False) as server:
        answers = ask(backend(server.base_url, stream=True), asked)
    assert len(answers) == sum(server.calls.values()) == 3


@pytest.mark.parametrize(("status", "message"), [
    (401, "bad key"), (402, "no credit"), (404, "no such model"), (403, "forbidden"), (302, "elsewhere"),
    (400, "The model `m` does not exist"), (429, "You exceeded your current quota (insufficient_quota)"),
])  # fmt: skip
def test_what_no_request_can_survive_stops_the_run_at_once(status: int, message: str) -> None:
    with FaultServer() as server:
        server.refuse = lambda body: web.json_response({"error": {"message": message}}, status=status)
        with pytest.raises(BackendError, match=re.escape(message)):
            ask(backend(server.base_url), questions(500))
        assert len(server.bodies) < 60, "the first answers tell"


def test_what_was_answered_before_the_credit_ended_is_handed_over() -> None:
    got: list[str] = []
    with FaultServer() as server:
        paid = web.json_response
        server.refuse = lambda body: (
            paid({"error": {"message": "Insufficient balance"}}, status=402)
            if sum(server.calls.values()) >= 50
            else None
        )
        made = backend(server.base_url)
        batches = made.answer_within(questions(500), Budget(None))
        with pytest.raises(BackendError, match="no credit"):
            got.extend(request.hash for batch in batches for request, _ in batch)
        assert len(got) == len(set(got)) == sum(server.delivered.values()) == 50


def test_a_request_that_the_server_refuses_is_a_failed_sample_and_the_others_run() -> None:
    asked = questions(30)
    with FaultServer() as server:
        server.refuse = lambda body: (
            web.json_response({"error": {"message": "maximum context length is 9 tokens"}}, status=400)
            if "Question 7:" in prompt_of(body)
            else None
        )
        answers = ask(backend(server.base_url), asked)
    assert answers.pop(asked[7].hash) == Failed("HTTP 400: maximum context length is 9 tokens")
    assert all(isinstance(answer, Generated) for answer in answers.values())
    assert len(answers) == 29


def test_a_server_that_refuses_everything_stops_the_run() -> None:
    with FaultServer() as server:
        server.refuse = lambda body: web.json_response({"error": {"message": "stop is not supported"}}, status=400)
        with pytest.raises(BackendError, match="refused the first 10 requests: HTTP 400: stop is not supported"):
            ask(backend(server.base_url), questions(200))


def test_null_content_is_told_from_an_empty_answer() -> None:
    def reply(body: dict[str, Any]) -> web.Response:
        content = "" if "Question 0:" in prompt_of(body) else None
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    asked = questions(2)
    with FaultServer() as server:
        server.refuse = reply
        answers = ask(backend(server.base_url), asked)
    assert answers[asked[0].hash] == Generated("", "stop", 9, 1)
    failed = answers[asked[1].hash]
    assert isinstance(failed, Failed)
    assert "null" in failed.error


def test_one_request_that_is_never_answered_fails_and_is_asked_again_by_the_next_run() -> None:
    asked = questions(20)
    with FaultServer(lambda key, attempt: "500" if "Question 3:" in key else None) as server:
        answers = ask(backend(server.base_url, deadline=1.0), asked)
    failed = answers[asked[3].hash]
    assert isinstance(failed, Failed)
    assert not failed.final
    assert sum(isinstance(answer, Generated) for answer in answers.values()) == 19


def test_a_server_that_is_gone_stops_the_run_after_the_deadline() -> None:
    with FaultServer() as server:
        pass
    with pytest.raises(BackendError, match="has not answered"):
        ask(backend(server.base_url, deadline=0.3), questions(5))


def test_the_content_filter_s_cut_is_no_answer() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "I was"}, "finish_reason": "content_filter"}
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    (asked,) = questions(1)
    with FaultServer() as server:
        server.refuse = lambda body: web.json_response({"choices": [choice], "usage": usage})
        answers = ask(backend(server.base_url), [asked])
    assert answers[asked.hash] == Failed("the server's content filter cut the answer", True, 9, 2)


def test_a_wait_beyond_the_deadline_stops_the_run() -> None:
    def quota(body: dict[str, Any]) -> web.Response | None:
        wrong = "Question 7:" in body["messages"][0]["content"]
        return web.json_response({}, status=429, headers={"Retry-After": "43200"}) if wrong else None

    with FaultServer() as server:
        server.refuse = quota
        with pytest.raises(BackendError, match=r"asks to wait 43,200 s, longer than backend\.deadline"):
            ask(backend(server.base_url, concurrency=1), questions(20))


def test_waiting_for_others_is_not_the_server_s_silence() -> None:
    """Twelve requests at one in a fifth of a second wait longer at the gate than the deadline; a fault loses none."""

    def script(key: str, attempt: int) -> str | None:
        return "503" if attempt == 0 and "Question 11:" in key else None

    asked = questions(12)
    with FaultServer(script) as server:
        answers = ask(backend(server.base_url, deadline=1.0, requests_per_minute=300), asked)
    assert all(isinstance(answers[request.hash], Generated) for request in asked)
