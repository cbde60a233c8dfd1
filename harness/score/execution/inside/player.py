"""Run a Python program under test and answer calls to its functions.

The player is the untrusted half: whatever it sends is only data. It holds the program and the inputs, never
an expected output or a test, so a program that passes has computed the answers.
"""

from __future__ import annotations

import builtins
import gc
import os
import random
import resource
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any, Final

from . import clock, values, wire

COMMANDS: Final = 3
"""The player's descriptor for calls from the judge."""
ANSWERS: Final = 4
"""The player's descriptor for what it answers."""

FLUSH_AFTER: Final = 0.02
"""Seconds after which outputs computed so far are sent, so that a wrong one stops the run early."""

LEAST: Final = 0.001
"""Seconds that a call gets where its half's time is used up: a timer of 0 would mean none."""


class TimeUp(BaseException):
    """One call took longer than its limit. Not an Exception, so that a program's own handlers let it pass."""


def main(request: dict[str, Any]) -> None:
    """Load the program of a request and play its mode: `script`, `outputs` or `serve`. Ends the process."""
    gc.enable()
    random.seed(0)
    sys.set_int_max_str_digits(0)
    status = 0
    try:
        if request["mode"] == "script":
            _load(request["source"], "__main__")
            wire.write_frame(ANSWERS, {"end": True})
        elif request["mode"] == "outputs":
            _outputs(request)
        else:
            _serve(request)
    except wire.Broken:
        status = 1
    except BaseException as error:  # noqa: BLE001 - whatever the program raises, SystemExit too, is its answer
        status = 1
        wire.write_frame(ANSWERS, _failure(error))
    finally:
        _flush()
        os._exit(status)


def _load(source: str, name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    return module


def _outputs(request: dict[str, Any]) -> None:
    """Call the entry point on every input and stream the outputs; the first exception or timeout ends it."""
    with_time = request.get("timed", False)
    entry = getattr(_load(request["source"], "program"), request["entry_point"])
    reduce = _REDUCTIONS[request.get("reduce", "")]
    outputs: list[Any] = []
    seconds: list[float] = []
    sent = time.perf_counter()
    halves = dict(request["limits_half"])
    end = 0.0
    for number, (form, longest) in enumerate(zip(request["inputs"], request["limits_each"], strict=True)):
        arguments = values.decode(form)
        started = time.perf_counter()
        used = time.process_time()
        if number in halves:
            end = used + halves[number]
        # What is left of its half is processor time: by the clock, a busy machine made the calls before it longer.
        limit = min(longest, max(end - used, LEAST))
        _allow(limit, request["alone"])
        try:
            signal.setitimer(signal.ITIMER_REAL, limit)
            output = entry(*arguments)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException as error:  # noqa: BLE001 - the program's own, whatever it is
            signal.setitimer(signal.ITIMER_REAL, 0)
            wire.write_frame(ANSWERS, {"outputs": outputs, "seconds": seconds})
            wire.write_frame(
                ANSWERS,
                _failure(error) | {"input": number, "limit": limit, "cpu": time.process_time() - used},
            )
            return
        now = time.perf_counter()
        if with_time:
            seconds.append(now - started)
        outputs.append(reduce(output))
        if now - sent > FLUSH_AFTER:
            wire.write_frame(ANSWERS, {"outputs": outputs, "seconds": seconds})
            outputs, seconds, sent = [], [], now
    wire.write_frame(ANSWERS, {"outputs": outputs, "seconds": seconds})
    wire.write_frame(ANSWERS, {"end": True})


def _as_set(output: Any) -> Any:
    """For a problem whose answer has no order: what counts is the set of the output's items."""
    return values.encode_brief(set(output))


_REDUCTIONS: Final[dict[str, Callable[[Any], Any]]] = {"": values.encode_brief, "set": _as_set}


def _serve(request: dict[str, Any]) -> None:
    """Tell the names that the program defines, then answer one call at a time until the judge hangs up."""
    module = _load(request["source"], "program")
    functions, constants, modules = [], {}, {}
    for name, value in vars(module).items():
        if isinstance(value, types.ModuleType):
            modules[name] = value.__name__
        elif name.startswith("__") or (hasattr(builtins, name) and name != request["entry_point"]):
            continue
        elif callable(value):
            functions.append(name)
        else:
            constants[name] = values.encode(value)
    wire.write_frame(ANSWERS, {"functions": functions, "constants": constants, "modules": modules})
    while True:
        call = wire.read_frame(COMMANDS)
        arguments = values.decode(call["arguments"])
        keywords = values.decode(call["keywords"])
        try:
            answer = {"value": values.encode(getattr(module, call["function"])(*arguments, **keywords))}
        except BaseException as error:  # noqa: BLE001 - the program's own, whatever it is
            answer = _failure(error)
        after = values.encode(arguments)
        if after != call["arguments"]:
            answer["arguments"] = after  # the program changed what it was given; the test may look
        wire.write_frame(ANSWERS, answer)


def _failure(error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ may do anything
        text = ""
    return {"error": type(error).__name__, "text": text[:2000]}


def _allow(limit: float, alone: bool) -> None:
    """Let SIGALRM mean that the time of one call may be up."""
    began, used = time.monotonic(), time.process_time()

    def alarm(_signal: int, _frame: types.FrameType | None) -> None:
        more = clock.more_time(limit, time.monotonic() - began, time.process_time() - used, alone)
        if not more:
            raise TimeUp
        signal.setitimer(signal.ITIMER_REAL, more)

    signal.signal(signal.SIGALRM, alarm)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - the program may have replaced or closed its streams
            continue


def prepare(standard: dict[int, int], keep: dict[int, int]) -> None:
    """Arrange the descriptors of a new process: `standard` and `keep` map a new number to an old; the rest
    closes."""
    wanted = standard | keep
    # First out of the way, so that no dup2 overwrites a descriptor that is still to be moved.
    high = {new: os.dup(old) for new, old in wanted.items()}
    for new, old in high.items():
        os.dup2(old, new, inheritable=True)
    os.closerange(max(wanted) + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
