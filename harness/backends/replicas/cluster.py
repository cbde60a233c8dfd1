"""The Ray cluster: a private one that ends with this process, or one that is there already."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.backends.replicas import keeper
from harness.backends.replicas.options import RayOptions
from harness.errors import UserError

ANSWER_WITHIN = 4.0  # seconds for a cluster's address to answer
# HTTP/2, which Ray's head speaks: a client's first words, and the type of the frame that any server answers with
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS = 4
# Ray puts the machine's public address in the place of 127.0.0.1; macOS has no other one, and Ray stays on it there
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
STORE_BYTES = 128 * 1024 * 1024  # requests and responses are small


def check(options: RayOptions) -> None:
    """Whether Ray is installed and the cluster answers; Ray itself would try for minutes.

    Raises:
        UserError: it is not, or it does not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "backend.replicas and backend.ray need the package ray, which is not installed.",
            "Run: pip install 'harness[ray]'",
        )
    address = options.address
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise UserError(f"backend.ray.address = {address}, which is not host:port.", "Give it as ray start prints it.")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_WITHIN) as connection:
            connection.settimeout(ANSWER_WITHIN)
            connection.sendall(HELLO)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise _no_answer(address, str(error)) from error
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise _no_answer(address, "what answers there is no Ray head")


def _no_answer(address: str, reason: str) -> UserError:
    return UserError(
        f"backend.ray.address = {address}, where no cluster answers ({reason}).",
        "Start one with ray start --head, give its address, or leave it null for a private one.",
    )


def connect(options: RayOptions, replicas: int) -> bool:
    """Join the cluster, or start a private one; whether this process must leave it again.

    Raises:
        UserError: the cluster refuses.
    """
    import ray

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {"address": options.address}
    if options.address is None:
        own = {
            "address": "local",
            "num_cpus": max(1, round(replicas * options.cpus)),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_node_ip_address": LOOPBACK,
            "_temp_dir": str(_private_folder()),
        }
    try:
        ray.init(logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        leave()
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"backend.ray.address = {options.address}: Ray says: {lines[0]}",
            "For a cluster with tokens, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as on its head.",
        ) from error
    return True


def leave() -> None:
    """Leave the cluster; a private one ends, and its folder goes."""
    import ray

    ray.shutdown()
    while _private:
        watching, folder = _private.pop()
        watching.terminate()
        watching.wait()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop(keeper.MARK, None)


_private: list[tuple[subprocess.Popen[bytes], Path]] = []  # the keeper and the folder of the cluster that runs


def _private_folder() -> Path:
    """A folder for a private cluster's files and token; whoever cannot read it cannot talk to the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="harness-ray-"))
    _private.append((keeper.start(folder), folder))
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(_token())
    # without a mode, Ray turns tokens on for a cluster that it starts, even if it was imported before
    os.environ.pop("RAY_AUTH_MODE", None)
    os.environ[keeper.MARK] = str(file)
    return folder


@functools.cache
def _token() -> str:
    """Of this process: Ray reads it once."""
    return secrets.token_hex(32)
