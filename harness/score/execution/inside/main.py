"""The agent: started once a worker inside the sandbox, it forks a supervised run for every request.

The harness writes two frames a run, the request and the secret, and reads one, the result. The program's
process is forked before the secret is read, so no trace of it is in the program's memory.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from typing import Any

from . import kernel, service, supervise, wire

WARM = (
    *("abc", "array", "bisect", "calendar", "cmath", "collections", "copy", "csv", "dataclasses", "datetime"),
    *(
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "inspect",
        "io",
        "itertools",
    ),
    *("json", "math", "numbers", "operator", "random", "re", "secrets", "statistics", "string", "struct"),
    *("textwrap", "time", "typing", "unicodedata", "uuid", "_strptime"),
)
"""Modules that programs often import, loaded once before any of them runs."""


def main() -> None:
    """Serve requests until the harness closes the stream."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, results = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    config: dict[str, Any] = wire.read_frame(requests)
    if config["packages"] not in sys.path:
        sys.path.append(config["packages"])
    for name in [*WARM, *config.get("warm", [])]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    wire.write_frame(results, {"ready": list(sys.version_info[:3])})
    services: dict[tuple[str, ...], service.Service] = {}
    try:
        while True:
            request = wire.read_frame(requests)
            if request.get("service") and not _compile(config, request, services):
                wire.read_frame(requests)
                wire.write_frame(results, request["compiled"])
            elif not _serve(config, request, requests, results):
                return
    except wire.Broken:
        return
    finally:
        for compiler in services.values():
            compiler.stop()


def _compile(
    config: dict[str, Any], request: dict[str, Any], services: dict[tuple[str, ...], service.Service]
) -> bool:
    """Compile by a service: the request gets the files and the step's result; whether there is something to
    run."""
    argv = request["service"]
    key = tuple(argv)
    if key not in services:
        services[key] = service.Service(argv, config["environment"], config["uid"], request["memory"])
    ((name, text),) = request["files"].items()
    answer = services[key].compile(name, text, request["service_wall"])
    reason = answer.get("reason", "")
    code = 0 if answer["ok"] else 1
    step = {"code": code, "reason": reason, "stdout": "", "stderr": answer["text"][-supervise.TAIL :]}
    request["compiled"] = [step | {"wall": answer["wall"], "cpu": 0.0}]
    request["files"] = answer["files"]
    request["binary"] = answer.get("binary", {})
    return bool(answer["ok"])


def _serve(config: dict[str, Any], request: dict[str, Any], requests: int, results: int) -> bool:
    """Fork one run; whether it answered. A run that died has left the streams in an unknown state."""
    outer = os.fork()
    if outer == 0:
        code = 1
        try:
            code = _isolated(config, request, requests, results)
        except BaseException:  # noqa: BLE001 - a forked child must end here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(code)
    _pid, status = os.waitpid(outer, 0)
    return status == 0


def _isolated(config: dict[str, Any], request: dict[str, Any], requests: int, results: int) -> int:
    """Run in name spaces of its own; a pid name space begins with a child, and ends with it."""
    if not config["isolated"]:
        return _run(config, request, requests, results)
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        code = 1
        try:
            kernel.die_with_parent()
            code = _run(config, request, requests, results)
        except BaseException:  # noqa: BLE001 - as above
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


def _run(config: dict[str, Any], request: dict[str, Any], requests: int, results: int) -> int:
    place = supervise.Place(config, request)
    place.make(request["files"], request.get("binary", {}))
    supervise.own_limits(4 << 30)
    try:
        if request["kind"] == "steps":
            answer: Any = request.get("compiled", []) + supervise.run_steps(place, request)
            wire.read_frame(requests)
        else:
            answer = supervise.run_python(place, request, lambda: wire.read_frame(requests))
    finally:
        place.clean()
    wire.write_frame(results, answer)
    return 0
