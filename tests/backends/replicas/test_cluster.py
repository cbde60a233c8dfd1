"""Addresses, before Ray is started at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from harness.backends import make_backend
from harness.backends.replicas import RayOptions, cluster
from harness.errors import UserError
from harness.paths import project_root


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def harness(*overrides: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "eval", "benchmarks=[mmlu]", "limit=1", *overrides],
        capture_output=True,
        text=True,
        cwd=project_root(),
        env={**os.environ, "PYTHONPATH": str(project_root())},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr, time.monotonic() - began


def test_an_address_where_nobody_is_ends_the_command_in_time() -> None:
    code, text, seconds = harness(f"backend.ray.address=127.0.0.1:{free_port()}")
    assert code == 2
    assert "error: backend.ray.address = 127.0.0.1:" in text
    assert "where no cluster answers" in text
    assert seconds < 10


def test_an_address_that_does_not_answer_ends_the_command_in_time(mute: int) -> None:
    code, text, seconds = harness(f"backend.ray.address=127.0.0.1:{mute}", "backend.replicas=2")
    assert code == 2
    assert "where no cluster answers (timed out)" in text
    assert seconds < 10


def test_another_server_is_no_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(UserError, match="what answers there is no Ray head"):
            cluster.check(RayOptions(address=f"127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


BAD = [
    ({"replicas": 0}, "backend.replicas = 0, which answers nothing."),
    ({"replicas": "many"}, "backend.replicas: Value 'many'"),
    ({"ray": {"adress": "x"}}, "unknown key backend.ray.adress."),
    ({"ray": {"cpus": -1}}, "backend.ray.cpus = -1, which is negative."),
    ({"ray": {"address": "ray://host:10001"}}, "backend.ray.address = ray://host:10001, which is not host:port."),
    ({"ray": {"address": "somewhere"}}, "backend.ray.address = somewhere, which is not host:port."),
]


@pytest.mark.parametrize(("options", "problem"), BAD, ids=lambda value: str(value)[:40])
def test_bad_keys_are_named(options: dict[str, object], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        make_backend("torch", options).check()
    assert caught.value.problem.startswith(problem)


def test_a_missing_ray_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        make_backend("torch", {"replicas": 2}).check()
    assert "harness[ray]" in caught.value.remedy


def test_one_replica_and_no_cluster_need_no_ray() -> None:
    from harness.backends.torch import TorchBackend

    assert isinstance(make_backend("torch", {"replicas": 1, "ray": {"address": None}}), TorchBackend)
