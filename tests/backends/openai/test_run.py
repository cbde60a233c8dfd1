"""Whole runs over HTTP: forms by capability, failed docs, receipts, no secrets, and plans without a network."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from harness.backends.openai import OpenAIOptions
from harness.cli import main
from harness.compare import gate
from harness.config import load
from harness.errors import BudgetError, UserError
from harness.plan import Generate, Score
from harness.prepare import prepare
from harness.run import evaluate, rescore
from tests.backends.openai.fake_model import FakeModel
from tests.backends.openai.server import FaultServer, prompt_of

KEY = "sk-this-is-a-secret-that-must-not-leak-0123456789"


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("SOME_KEY", KEY)
    chosen = ["backend=openai", "backend.model=m", "backend.key_env=SOME_KEY", "data=sample", f"run.dir={tmp_path}"]
    return [*chosen, "backend.usd_per_million_in=1", "backend.usd_per_million_out=1"]


def test_a_run_with_a_failed_doc_and_no_secret_anywhere(
    overrides: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model = FakeModel(plain=False)
    refused: list[str] = []

    def reply(body: dict[str, Any]) -> web.Response:
        if body.get("max_tokens") == 16 and "arrots" in prompt_of(body) and (not refused or prompt_of(body) in refused):
            refused.append(prompt_of(body))
            return web.json_response({"error": {"message": f"too long for the key {KEY}"}}, status=400)
        return model(body)

    with FaultServer() as server:
        server.refuse = reply
        chosen = [f"backend.base_url={server.base_url}", "limit=6", "benchmarks=[gsm8k]", "generation.max_tokens=16"]
        folder = evaluate(load([*overrides, *chosen, "run.name=one", "budget.usd=1"]))
        asked = len(server.bodies)
        evaluate(load([*overrides, *chosen, "run.name=two"]))
        probes = sum("Question" not in prompt_of(body) for body in server.bodies[asked:])
        assert len(server.bodies) - asked == probes < 16, "nothing is asked twice, a refused request neither"
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    scores = json.loads((folder / "scores.json").read_text())["benchmarks"]["gsm8k"]
    assert (scores["n"], scores["failed"], scores["complete"]) == (5, 1, False)
    (failed,) = pq.read_table(folder / "failed.parquet").to_pylist()
    assert failed["error"] == "HTTP 400: too long for the key [key]"
    assert failed["doc_id"] not in pq.read_table(folder / "samples" / "gsm8k_qwen_cot.parquet")["doc_id"].to_pylist()
    assert "are left out" in (folder / "table.md").read_text()
    assert any("1 docs have no answer" in check.reason for check in gate.judge(folder, None).checks)
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["prompt"]["chat"] is True
    assert receipt["prompt"]["form"] == "letters"
    assert receipt["model"]["found"]["plain"] is False
    assert receipt["totals"]["failed"] == 1
    assert 0 < receipt["charged_usd"] < 0.1
    rescore(folder)
    assert json.loads((folder / "scores.json").read_text())["benchmarks"]["gsm8k"] == scores
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err + caplog.text
    assert "1 failed" in shown.err


@pytest.mark.parametrize(("model", "form", "chat", "kinds"), [
    (FakeModel(), "auto", False, {"mmlu": Score, "arc_c": Score}),
    (FakeModel(echo=False), "letters", False, {"mmlu": Score, "arc_c": Generate}),
    (FakeModel(plain=False), "letters", True, {"mmlu": Score, "arc_c": Generate}),
    (FakeModel(plain=False, top_chat=0), "generation", True, {"mmlu": Generate, "arc_c": Generate}),
    (FakeModel(top=0, top_chat=0), "generation", False, {"mmlu": Generate, "arc_c": Generate}),
])  # fmt: skip
def test_the_form_follows_from_what_the_server_can(
    model: FakeModel, form: str, chat: bool, kinds: dict[str, type], overrides: list[str]
) -> None:
    from harness.collect import Budget

    with FaultServer() as server:
        server.refuse = model
        config = load([*overrides, f"backend.base_url={server.base_url}", "benchmarks=[mmlu,arc_c]", "limit=2"])
        prepared = prepare(config, Budget(None))
    assert (prepared.config.settings.form, prepared.config.settings.chat) == (form, chat)
    for bench in prepared.plan.benchmarks:
        assert {type(request) for request in bench.requests} == {kinds[bench.benchmark.name]}
        assert all(bool(request.messages) == chat for request in bench.requests)


def test_a_form_that_cannot_be_had_is_refused_before_anything_is_asked(overrides: list[str]) -> None:
    with FaultServer() as server:
        server.refuse = FakeModel(echo=False)
        chosen = [f"backend.base_url={server.base_url}", "benchmarks=[arc_c]", "limit=2", "prompt.form=loglikelihood"]
        with pytest.raises(UserError, match="needs log-likelihoods of given answers"):
            evaluate(load([*overrides, *chosen]))
        server.refuse = FakeModel(plain=False)
        with pytest.raises(UserError, match=r"prompt\.chat = false, but this backend takes part in conversations only"):
            evaluate(load([*overrides, *chosen[:3], "prompt.chat=false"]))
        assert all("Question" not in prompt_of(body) for body in server.bodies)


def test_an_empty_budget_stops_the_run_cleanly(overrides: list[str], tmp_path: Path) -> None:
    with FaultServer() as server:
        server.refuse = FakeModel(plain=False)
        chosen = [f"backend.base_url={server.base_url}", "benchmarks=[gsm8k]", "run.name=cheap"]
        with pytest.raises(BudgetError, match=r"budget\.usd = 0\.008"):
            evaluate(load([*overrides, *chosen, "budget.usd=0.008"]))
        receipt = json.loads((tmp_path / "cheap" / "receipt.json").read_text())
        assert receipt["status"] == "stopped"
        assert "raise budget.usd" in receipt["reason"]
        assert receipt["charged_usd"] <= 0.008
        folder = evaluate(load([*overrides, *chosen, "budget.usd=5"]))
    assert json.loads((folder / "receipt.json").read_text())["status"] == "complete"


def test_novita_is_planned_without_key_or_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NOVITA_API_KEY", raising=False)

    def no_network(*_: object) -> None:
        raise AssertionError("a plan asks nobody")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(SystemExit) as left:
        main(["plan", "backend=novita", "benchmarks=[gsm8k,humaneval]", "limit=5", "data=sample"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "humaneval" in shown
    assert "$0.0" in shown
    assert "Tokens are guessed" in shown


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOVITA_API_KEY", raising=False)
    with pytest.raises(UserError, match=r"backend\.key_env = NOVITA_API_KEY, but .* not set"):
        evaluate(load(["backend=novita", "benchmarks=[gsm8k]", "limit=2", f"run.dir={tmp_path}"]))


@pytest.mark.parametrize(("changed", "problem"), [
    ({"base_url": "https://me:hunter2@host/v1"}, "has credentials in it"),
    ({"base_url": "ftp://host"}, "no plain web address"),
    ({"base_url": "https://host/v1?api_key=hunter2"}, "no plain web address"),
    ({"base_url": None}, r"backend\.base_url is not set"),
    ({"model": None}, r"backend\.model is not set"),
    ({"concurrency": 0}, "not above 0"),
    ({"api": "grpc"}, "none of auto, chat, completions"),
    ({"usd_per_million_in": -1.0}, "negative"),
])  # fmt: skip
def test_options_are_checked_first(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        OpenAIOptions(**({"base_url": "http://127.0.0.1:9/v1", "model": "m"} | changed)).check()
    assert "hunter2" not in str(caught.value)


def test_every_parameter_of_the_page_is_sent(overrides: list[str]) -> None:
    from harness.collect import Budget

    wanted = [
        "prompt.system=Be brief.", "generation.max_tokens=7", "generation.temperature=0.5", "generation.top_p=0.9",
        "generation.min_p=0.1", "generation.top_k=20", "generation.presence_penalty=0.1",
        "generation.frequency_penalty=0.2", "generation.repetition_penalty=1.1",
        "generation.response_format=json_object", "generation.stream=true",
    ]  # fmt: skip
    with FaultServer(page=False) as server:
        chosen = [f"backend.base_url={server.base_url}", "backend.api=chat", "benchmarks=[gsm8k]", "limit=1", *wanted]
        prepared = prepare(load([*overrides, *chosen]), Budget(None))
        server.bodies.clear()
        list(prepared.backend.answer(prepared.plan.unique()))
    (body,) = server.bodies
    assert body["messages"][0]["role"] == "system"
    assert body["messages"][0]["content"].startswith("Be brief.")
    sent = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "min_p": 0.1, "top_k": 20, "presence_penalty": 0.1}
    sent |= {"frequency_penalty": 0.2, "repetition_penalty": 1.1, "stream": True}  # type: ignore[dict-item]
    assert {key: body[key] for key in sent} == sent
    assert body["response_format"] == {"type": "json_object"}
    assert "seed" in body
