"""Real Ray: replicas answer as one, and may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from harness.backends import make_backend
from harness.backends.base import Backend
from harness.backends.replicas import RayOptions, ReplicaOptions, ReplicatedBackend, cluster, keeper
from harness.collect import Store, collect
from harness.errors import BackendError, UserError
from harness.paths import project_root
from harness.plan import Generate, Request, Score
from tests.backends.replicas.engines import Complaining, Dying, Elsewhere, Instant, Slow, Together
from tests.conftest import RuleBackend, rule_answer

pytestmark = pytest.mark.timeout(200)
TWO = ReplicaOptions(replicas=2, ray=RayOptions(cpus=0.5))
REQUESTS: list[Request] = [Score(f"p{i % 4}", str(i), ("a", "b")) for i in range(120)]


@pytest.fixture(scope="module", autouse=True)
def one_cluster() -> Iterator[None]:
    """A private cluster for all tests of this file: starting one takes seconds."""
    cluster.connect(RayOptions(), 4)
    folder = Path(os.environ[keeper.MARK]).parent
    yield
    family = [process for process in keeper.family(folder) if process.pid != os.getpid()]
    assert len(family) >= 4
    cluster.leave()
    assert not folder.exists()
    psutil.wait_procs(family, timeout=10)
    assert not [process for process in family if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that has ended may wait for its parent to take note."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def replicated(make: Callable[[], Backend]) -> ReplicatedBackend:
    backend = ReplicatedBackend(make, TWO)
    backend.check()
    return backend


def collected(backend: Backend, folder: Path, requests: list[Request] = REQUESTS) -> Any:
    with Store(folder / "s.sqlite") as store:
        return collect(requests, backend, store)


def test_two_answer_as_one_and_both_work(tmp_path: Path) -> None:
    found = collected(replicated(partial(Together, tmp_path, 0.01)), tmp_path)
    assert found.responses == {request.hash: rule_answer(request) for request in REQUESTS}
    # the same responses under the same fingerprint: one engine has nothing left to ask
    assert collected(RuleBackend(), tmp_path).totals.asked == 0
    noted = [file.read_text().split() for file in tmp_path.iterdir() if file.name.isdigit()]
    assert len(noted) == 2
    assert sorted(h for part in noted for h in part) == sorted(request.hash for request in REQUESTS)


def test_the_torch_backend_in_two_replicas(tiny_checkpoint: Path) -> None:
    options = {"model": str(tiny_checkpoint), "dtype": "float32"}
    asked: list[Request] = [Score("Question: Which", f" organ {i}?\nAnswer:", (" A", " B and C")) for i in range(12)]
    asked += [Generate("Let's think", f" step {i}", ("\n",), 6) for i in range(6)]
    one = make_backend("torch", options)
    two = make_backend("torch", {**options, "replicas": 2, "ray": {"cpus": 0.5}})
    assert isinstance(two, ReplicatedBackend)
    assert two.fingerprint() == one.fingerprint()
    assert two.describe()["replicas"] == 2
    ours, theirs = ({r.hash: a for batch in b.answer(asked) for r, a in batch} for b in (two, one))
    assert ours.keys() == theirs.keys()
    for key, answer in ours.items():
        if hasattr(answer, "text"):
            assert answer == theirs[key]
        else:
            assert answer.logprobs == pytest.approx(theirs[key].logprobs, abs=1e-4)  # type: ignore[union-attr]
    took = two.took()
    assert took["died"] == 0
    assert sum(report["new_tokens"] for report in took["replicas"]) > 0


def test_a_replica_killed_in_the_middle_costs_its_chunk_alone(tmp_path: Path) -> None:
    backend = replicated(partial(Slow, tmp_path, 0.02))
    killed = None
    with Store(tmp_path / "s.sqlite") as store:
        stream = backend.answer
        seen = 0

        def killing(requests: Any) -> Any:
            nonlocal killed, seen
            for batch in stream(requests):
                seen += len(batch)
                if killed is None and seen >= 20:
                    killed = next(int(f.name) for f in tmp_path.iterdir() if f.name.isdigit())
                    os.kill(killed, signal.SIGKILL)
                yield batch

        backend.answer = killing  # type: ignore[method-assign]
        found = collect(REQUESTS, backend, store)
    assert found.responses == {request.hash: rule_answer(request) for request in REQUESTS}
    assert backend.took()["died"] == 1
    noted = {int(f.name): f.read_text().split() for f in tmp_path.iterdir() if f.name.isdigit()}
    twice = [h for h in noted[killed or 0] if any(h in other for pid, other in noted.items() if pid != killed)]
    # what was answered and not yet delivered; a fifth of a second of it at the most, and a little for the kill
    assert len(twice) <= 30


def test_requests_that_kill_every_replica_end_the_run_with_the_rest_kept(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="3 replicas died over the same requests"):
        collected(replicated(partial(Dying, tmp_path, "77", 99)), tmp_path)
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store.get("rule", [r.hash for r in REQUESTS])) > 0


def test_what_a_replica_complains_of_arrives_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it merges") as caught:
        collected(replicated(Complaining), tmp_path)
    assert caught.value.remedy == "Set it to split."


def test_a_node_with_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="other files at that place"):
        collected(replicated(Elsewhere), tmp_path)


def test_more_gpus_than_there_are_is_the_users(tmp_path: Path) -> None:
    options = ReplicaOptions(replicas=2, ray=RayOptions(gpus=4))
    with pytest.raises(UserError, match=r"backend.replicas = 2, each on 4 GPUs, but there are 0 GPUs"):
        collected(ReplicatedBackend(Instant, options), tmp_path)


def test_the_cluster_is_on_loopback_and_wants_a_token() -> None:
    assert ray.util.get_node_ip_address().startswith("127.0.0.")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    file = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert file.stat().st_mode & 0o077 == 0
    # Ray's servers run with it: a stranger's call is refused, after 20 s of trying, so it is not tried here
    servers = [p for p in psutil.Process().children(recursive=True) if p.name() in ("gcs_server", "raylet")]
    assert {server.name() for server in servers} == {"gcs_server", "raylet"}
    for server in servers:
        assert server.environ()["RAY_AUTH_MODE"] == "token"
        assert server.environ()["RAY_AUTH_TOKEN_PATH"] == str(file)


DRIVER = """
import sys
from functools import partial
from pathlib import Path
from harness.backends.replicas import RayOptions, ReplicaOptions, ReplicatedBackend
from harness.collect import Store, collect
from tests.backends.replicas.engines import Slow
from tests.backends.replicas.test_replicas import REQUESTS
folder, seconds, address = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] or None
backend = ReplicatedBackend(partial(Slow, folder, seconds), ReplicaOptions(2, RayOptions(address, cpus=0.5)))
with Store(folder / "s.sqlite") as store:
    found = collect(REQUESTS, backend, store)
print(found.totals.stored, found.totals.asked, len(found.responses))
"""


def driver(folder: Path, seconds: float, address: str = "") -> subprocess.Popen[str]:
    """A run of its own; without an address on a cluster of its own."""
    environment = {**os.environ, "PYTHONPATH": str(project_root()), "TMPDIR": str(folder)}
    if not address:
        environment = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", DRIVER, str(folder), str(seconds), address]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=project_root())


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Names of sockets have at most some hundred letters, and pytest's folders alone are long."""
    with tempfile.TemporaryDirectory(prefix="killed-") as folder:
        yield Path(folder)


def test_a_killed_driver_leaves_nothing_behind_and_goes_on(short_folder: Path) -> None:
    first = driver(short_folder, 0.05)
    deadline = time.monotonic() + 90
    with Store(short_folder / "s.sqlite") as store:
        while len(store.get("rule", [r.hash for r in REQUESTS])) < 20:
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.05)
        (own,) = short_folder.glob("harness-ray-*")
        family = keeper.family(own)
        assert len(family) >= 5  # the driver, two replicas, Ray's servers
        first.kill()
        first.wait()
        kept = len(store.get("rule", [r.hash for r in REQUESTS]))
    deadline = time.monotonic() + 20
    while own.exists() or any(alive(process) for process in family):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # the second one joins the cluster of this file, which stays when it leaves
    second = driver(short_folder, 0.0, ray.get_runtime_context().gcs_address)
    out, _ = second.communicate(timeout=120)
    stored, asked, whole = map(int, out.split())
    assert stored >= kept >= 20
    assert (asked, whole) == (len(REQUESTS) - stored, len(REQUESTS))
    assert ray.cluster_resources()["CPU"] == 4
