"""Two thousand requests while a fifth of all calls fails, and the same with the client killed five times on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.backends.base import Generated
from harness.backends.openai import asking
from harness.collect import Budget, Store, collect
from tests.backends.openai.server import PRICE, FaultServer, answer_of
from tests.backends.openai.support import backend, mix, questions

N = 2000
KILLS = 5


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_lost_and_nothing_is_asked_twice(
    stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.02)
    asked = questions(N // 4 if stream else N)
    with FaultServer(mix(1, stream=stream), page=False) as server, Store(tmp_path / "s.sqlite") as store:
        made = backend(server.base_url, stream=stream, concurrency=64)
        collected = collect(asked, made, store)
        answered = dict(server.delivered)
        calls, faults = sum(server.calls.values()), sum(server.faults.values())
    for request in asked:
        answer = collected.responses[request.hash]
        assert isinstance(answer, Generated)
        assert (answer.text, answer.finish) == (answer_of(request.messages[0].text), "stop")
    assert answered.keys() == {request.messages[0].text for request in asked}
    if not stream:  # a stream without usage in which a word is repeated is asked for again, and that has a fault, too
        assert set(answered.values()) == {1}, "every answer was sent once"
    assert calls <= len(asked) + faults
    assert made.took()["calls"] >= calls, "some met a connection that was closed already"


CLIENT = """
import sys
from pathlib import Path
from harness.backends.openai import asking
from harness.collect import Budget, Store, collect
from tests.backends.openai.support import backend, questions
asking.FIRST_WAIT = 0.02
with Store(Path(sys.argv[2])) as store:
    budget = Budget(1.0, store.spent("run"), lambda usd: store.note_spent("run", usd))
    collect(questions(int(sys.argv[3])), backend(sys.argv[1], concurrency=16), store, budget)
    budget.close()
    print(budget.charged)
"""


def test_killed_five_times(tmp_path: Path) -> None:
    """What a kill may cost is the calls that were in flight."""
    asked, file = questions(N), tmp_path / "s.sqlite"
    with FaultServer(mix(2), latency=0.004) as server:
        command = [sys.executable, "-c", CLIENT, server.base_url, str(file), str(N)]
        in_flight = 0
        for kill in range(KILLS):
            client = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
            goal = (kill + 1) * N // (KILLS + 2)
            while sum(server.delivered.values()) < goal:
                assert client.poll() is None, "it ended before it was killed"
                time.sleep(0.005)
            client.send_signal(signal.SIGKILL)
            client.wait()
            in_flight += 16
            time.sleep(0.05)
        last = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        calls, faults = sum(server.calls.values()), sum(server.faults.values())
        charged, twice = server.charged, sum(count - 1 for count in server.delivered.values())
    with Store(file) as store:
        found = store.get(backend(server.base_url).fingerprint(), [request.hash for request in asked])
        spent = store.spent("run")
    assert {key: response.text for key, (response, _) in found.items()} == {  # type: ignore[union-attr]
        request.hash: answer_of(request.messages[0].text) for request in asked
    }
    assert calls <= N + faults + in_flight
    # an answer on its way to a client that dies is sent again; what had arrived a few milliseconds before is kept
    assert twice <= in_flight
    assert charged <= spent == pytest.approx(float(last.stdout.split()[-1]))
    assert charged < 1.0
    assert PRICE > 0
    assert Budget(1.0, spent).charged == spent
