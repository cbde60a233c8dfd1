"""Several processes share the requests: the same answers, the same limits, and none outlives the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.base import Generated
from harness.backends.openai import OpenAIOptions
from harness.backends.openai.spread import News, _receive, shares
from harness.collect import Budget, Store, collect
from harness.errors import BackendError, UserError
from tests.backends.openai.server import FaultServer, answer_of
from tests.backends.openai.support import backend, mix, questions


def test_two_processes_answer_what_one_does(tmp_path: Path) -> None:
    asked = questions(60)
    with FaultServer(mix(4, share=0.1), page=False) as server:
        made = backend(server.base_url, processes=2, concurrency=6)
        with Store(tmp_path / "s.sqlite") as store:
            collected = collect(asked, made, store)
        calls, faults = sum(server.calls.values()), sum(server.faults.values())
        assert server.most_in_flight <= 6
        assert set(server.delivered.values()) == {1}
    for request in asked:
        answer = collected.responses[request.hash]
        assert isinstance(answer, Generated)
        assert answer.text == answer_of(request.messages[0].text)
    took = made.took()
    assert calls <= took["calls"] <= 60 + faults
    assert 2 <= took["most_in_flight"] <= 6
    assert collected.totals.asked == 60
    assert sum(took["faults"].values()) <= faults


@given(st.integers(1, 9), st.none() | st.integers(1, 600), st.none() | st.floats(1, 1e6))
def test_limits_together_are_what_they_were(processes: int, cap: int | None, limit: float | None) -> None:
    parts = shares(OpenAIOptions(concurrency=cap, requests_per_minute=limit, tokens_per_minute=limit), processes)
    assert 1 <= len(parts) <= processes
    assert sum(part.concurrency or 0 for part in parts) == (cap or 512)
    assert min(part.concurrency or 0 for part in parts) >= 1
    for key in ("requests_per_minute", "tokens_per_minute"):
        each = [getattr(part, key) for part in parts]
        assert each == [None] * len(parts) if limit is None else sum(each) == pytest.approx(limit)


def test_a_budget_takes_one_process() -> None:
    made = backend("http://127.0.0.1:9/v1", found=None, processes=2)
    with pytest.raises(UserError, match=r"backend.processes = 2.* budget.usd = 1"):
        made.probe(Budget(1.0))


def test_what_one_process_met_is_raised_when_the_others_are_done(tmp_path: Path) -> None:
    def refuse(body: dict[str, Any]) -> web.Response | None:
        wrong = "Question 20:" in body["messages"][0]["content"]
        return web.json_response({"error": {"message": "no such model"}}, status=404) if wrong else None

    asked = questions(40)
    with FaultServer() as server, Store(tmp_path / "s.sqlite") as store:
        server.refuse = refuse
        made = backend(server.base_url, processes=2, concurrency=2)
        with pytest.raises(BackendError, match="does not know the model"):
            collect(asked, made, store)
        kept = store.get(made.fingerprint(), [request.hash for request in asked])
    assert {request.hash for request in asked[1::2]} <= kept.keys(), "the other process's share"
    assert 30 <= len(kept) == made.took()["calls"] - 1 < 33, "nothing was sent after it"


def test_a_process_that_dies_costs_its_share(tmp_path: Path) -> None:
    asked = questions(400)
    with FaultServer(latency=0.02) as server, Store(tmp_path / "s.sqlite") as store:
        made = backend(server.base_url, processes=2, concurrency=2)
        budget = Budget(None)

        def until_one_is_killed() -> None:
            answered = 0
            for batch in made.answer_within(asked, budget):
                store.put("m", [(request.hash, response, 0.0) for request, response in batch])
                if answered < 20 <= answered + len(batch):
                    multiprocessing.active_children()[0].kill()
                answered += len(batch)

        with pytest.raises(BackendError, match="a client process ended with exit code -9"):
            until_one_is_killed()
        kept = store.get("m", [request.hash for request in asked])
        charged = server.charged
    assert 200 <= len(kept) < 390, "the other process's share, and what the first one had answered"
    assert 0 < budget.charged <= charged
    assert made.took()["calls"] >= 200
    assert made.took()["seconds"] > 0


def test_a_process_that_dies_while_it_writes() -> None:
    here, there = multiprocessing.Pipe()
    os.write(there.fileno(), (1000).to_bytes(4, "big") + b"half of it")
    there.close()
    process = multiprocessing.get_context("spawn").Process(target=os._exit, args=(9,))
    process.start()
    before = News(charged=2.0)
    news = _receive(here, before, process)
    assert isinstance(news, News)
    assert news.done
    assert news.charged == 2.0
    assert "exit code 9" in str(news.error)


def test_what_was_spent_is_booked_as_it_comes(tmp_path: Path) -> None:
    """A run that is stopped on the way has its charges, and what may have been charged for nothing counts as lost."""
    noted: list[float] = []
    asked = questions(200)
    with FaultServer(mix(4, share=0.3), page=False, latency=0.02) as server, Store(tmp_path / "s.sqlite") as store:
        budget = Budget(None, note=noted.append)
        batches = backend(server.base_url, processes=2, concurrency=4).answer_within(asked, budget)
        for batch in batches:
            store.put("m", [(request.hash, response, 0.0) for request, response in batch])
            if budget.charged:
                break
        batches.close()  # type: ignore[attr-defined]
        assert 0 < budget.charged <= noted[-1]
        whole = Budget(None)
        totals = collect(asked, backend(server.base_url, processes=2, concurrency=4), store, whole).totals
    assert 0 < totals.lost_usd == whole.lost < whole.charged


CLIENT = """
import sys
from tests.backends.openai.support import ask, backend, questions
if __name__ == "__main__":
    ask(backend(sys.argv[1], processes=2, concurrency=8), questions(5000))
"""


def family(pid: int) -> set[int]:
    """The processes that a process has started, and theirs."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


@pytest.mark.parametrize("silent", [False, True])
def test_no_process_outlives_a_killed_run(tmp_path: Path, silent: bool) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    with FaultServer(latency=60.0 if silent else 0.02) as server:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        client = subprocess.Popen([sys.executable, str(script), server.base_url], env=environment)
        while sum((server.calls if silent else server.delivered).values()) < (2 if silent else 50):
            assert client.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        left = family(client.pid)
        assert len(left) >= 2
        client.send_signal(signal.SIGKILL)
        client.wait()
        ends = time.monotonic() + 20
        while left and time.monotonic() < ends:
            left = {pid for pid in left if psutil.pid_exists(pid) and not ended(pid)}
            time.sleep(0.05)
        assert not left


def ended(pid: int) -> bool:
    """Whether nobody but its parent has still to hear of its end."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
