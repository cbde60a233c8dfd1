"""The agent: started once a worker inside the sandbox, it forks a supervised run for every request.

The harness writes two frames a run, the request and the secret, and reads one, the result. The program's
process is forked before the secret is read, so no trace of it is in the program's memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

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
    kernel.libc()
    # What is loaded stays: without the collector's marks in it, forked processes share its memory to the end.
    gc.collect()
    gc.freeze()
    gc.disable()
    wire.write_frame(results, {"ready": list(sys.version_info[:3])})
    services: dict[tuple[str, ...], service.Service] = {}
    ended: list[int] = []
    try:
        while True:
            request = wire.read_frame(requests)
            if request.get("service") and not _compile(config, request, services):
                wire.read_frame(requests)
                wire.write_frame(results, request["compiled"])
            elif not _serve(config, request, requests, results, ended):
                return
    except wire.Broken:
        return
    finally:
        for pid in ended:
            os.waitpid(pid, 0)
        for compiler in services.values():
            compiler.stop()


def _compile(config: dict[str, Any], request: dict[str, Any], services: dict[tuple[str, ...], service.Service]) -> bool:
    """Compile by a service: the request gets files and a step's result. Whether there is anything to run."""
    argv = request["service"]
    key = tuple(argv)
    if key not in services:
        services[key] = service.Service(argv, config["environment"], config["uid"], request["memory"])
    ((name, text),) = request["files"].items()
    answer = services[key].compile(name, text, request["service_wall"])
    reason = answer.get("reason", "")
    code = 0 if answer["ok"] else 1
    step = {"code": code, "reason": reason, "stdout": "", "stderr": answer["text"][-supervise.TAIL :]}
    request["compiled"] = [step | {"wall": answer["wall"], "cpu": answer["wall"]}]
    request["files"] = answer["files"]
    request["binary"] = answer.get("binary", {})
    return bool(answer["ok"])


def _serve(config: dict[str, Any], request: dict[str, Any], requests: int, results: int, ended: list[int]) -> bool:
    """Fork one run; whether it answered. A run that died has left the streams in an unknown state.

    The kernel takes milliseconds to end a name space, so the run says itself when it has answered, having
    ended every process of the program; what is left is an empty shell in `ended`, which is waited for later.
    """
    answered, say_answered = os.pipe()
    first = kernel.fork_isolated() if config["isolated"] else os.fork()
    if first == 0:
        _end_with(lambda: _run(config, request, requests, results, say_answered))
    os.close(say_answered)
    good = bool(os.read(answered, 1))
    os.close(answered)
    ended.append(first)
    ended[:] = [pid for pid in ended if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    return good


def _end_with(action: Callable[[], None]) -> NoReturn:
    """The whole life of a forked child: it must end here, whatever happens."""
    code = 1
    try:
        action()
        code = 0
    except BaseException:  # noqa: BLE001 - see above
        traceback.print_exc()
    finally:
        os._exit(code)


def _run(config: dict[str, Any], request: dict[str, Any], requests: int, results: int, say_answered: int) -> None:
    kernel.die_with_parent()
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
    os.write(say_answered, b"1")
