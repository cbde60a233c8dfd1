"""The trusted half: compare a program's outputs with the expected ones, or run tests against its functions.

Nothing here ever executes code of the program under test.
"""

from __future__ import annotations

import builtins
import importlib
import json
import math
import sys
from collections.abc import Callable
from typing import Any, Final

from . import values, wire

RELATIVE_TOLERANCE: Final = 1e-7
"""EvalPlus compares numbers as numpy.allclose does with this relative tolerance (that of assert_allclose)."""

FLOAT_TOLERANCE: Final = 1e-6
"""The absolute tolerance that EvalPlus uses for floats where the problem states none."""


class Outputs:
    """Judges outputs one by one, in the order of the inputs."""

    def __init__(self, inputs: list[Any], secret: dict[str, Any]) -> None:
        self.expected = json.loads(secret["expected"])
        self.inputs = inputs
        self.tolerance: float = secret["tolerance"]
        self.rule: str = secret["rule"]
        self.count = 0

    def accept(self, forms: list[Any]) -> bool:
        """Whether all these outputs are right; `count` is then the number of outputs judged right so far."""
        for form in forms:
            if self.count >= len(self.expected) or not self._right(form):
                return False
            self.count += 1
        return True

    def _right(self, form: Any) -> bool:
        # Most outputs have the very form of the expected one; NaN has no equal, not even itself.
        number = self.count
        wanted_form = self.expected[number]
        if form == wanted_form and self.rule != "root" and not isinstance(form, float | list | dict):
            return True
        try:
            if values.is_digest(form) or values.is_digest(wanted_form):
                return values.same_digest(form, wanted_form)
            output, expected = values.decode(form), values.decode(wanted_form)
            exact = self._agrees(output, expected, number)
            # Once an expected output was a float, EvalPlus keeps the tolerance for the inputs that follow.
            if self.tolerance == 0 and _all_floats(expected):
                self.tolerance = FLOAT_TOLERANCE
            if self.rule == "root":
                return exact
            return exact or (
                self.tolerance != 0 and type(output) is type(expected) and close(output, expected, self.tolerance)
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
            return False  # not a value, or one that the comparison is not made for: not the expected one either

    def _agrees(self, output: Any, expected: Any, number: int) -> bool:
        rule = self.rule
        if rule == "not_none":
            wanted = expected is not None
            return output == wanted if isinstance(output, bool) else (output is not None) == wanted
        if rule == "anything":
            return True
        if rule == "root":
            coefficients = values.decode(self.inputs[number])[0]
            return abs(math.fsum(c * math.pow(output, i) for i, c in enumerate(coefficients))) <= self.tolerance
        if rule == "zero_too":
            return bool(output == expected or output == 0)
        if rule == "pyramid":
            base, height = values.decode(self.inputs[number])
            by_height = round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))
            return bool(output == expected or abs(output - by_height) <= self.tolerance)
        if rule == "digits":
            first, second = (str(value) for value in values.decode(self.inputs[number]))
            width = max(len(first), len(second))
            pairs = zip(first.zfill(width), second.zfill(width), strict=True)
            return bool(output == expected) or output == sum(abs(int(a) - int(b)) for a, b in pairs)
        return bool(output == expected)


def _all_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def close(output: Any, expected: Any, tolerance: float) -> bool:
    """Whether numbers, or sequences of the same shape, agree within the tolerances. TypeError for what is
    neither."""
    if isinstance(expected, list | tuple):
        return (
            isinstance(output, list | tuple)
            and len(output) == len(expected)
            and all(close(a, b, tolerance) for a, b in zip(output, expected, strict=True))
        )
    if isinstance(expected, str | bytes) or isinstance(output, str | bytes):
        raise TypeError("text has no tolerance")
    if output == expected:
        return True
    return bool(abs(output - expected) <= tolerance + RELATIVE_TOLERANCE * abs(expected) < math.inf)


class ProgramError(Exception):
    """The program raised an exception of its own type."""


class ProgramExited(BaseException):
    """The program asked to exit in the middle of its tests."""


def run_check(secret: dict[str, Any], commands: int, answers: int) -> dict[str, Any]:
    """Run a problem's own tests; every name that the tests take from the program is a call to the player."""
    opening = _answer(answers)
    if "functions" not in opening:
        return _program_failed(opening)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for name, module in opening["modules"].items():
        # Tests may lean on an import of the program; the module is our own copy, and only of the standard
        # library.
        if str(module).partition(".")[0] in sys.stdlib_module_names:
            namespace[name] = importlib.import_module(module)
    for name, form in opening["constants"].items():
        if not hasattr(builtins, name):
            namespace[name] = values.decode(form)
    for name in opening["functions"]:
        if not hasattr(builtins, name) or name == secret["entry_point"]:
            namespace[name] = _proxy(name, commands, answers)
    try:
        exec(compile(secret["check"], "tests.py", "exec", dont_inherit=True), namespace)
    except AssertionError as error:
        return {"status": "wrong", "detail": f"AssertionError: {error}"[:500]}
    except (wire.Broken, ProgramExited):
        return {"status": "wrong", "detail": "the program ended before its tests had finished"}
    except MemoryError:
        return {"status": "out_of_memory", "detail": "MemoryError"}
    except BaseException as error:  # noqa: BLE001 - the tests are code of a data set: whatever it raises is no pass
        return {"status": "error", "detail": f"{type(error).__name__}: {error}"[:500]}
    return {"status": "passed", "detail": ""}


def _answer(answers: int) -> dict[str, Any]:
    message = wire.read_frame(answers)
    if not isinstance(message, dict):
        raise wire.Broken("not an answer")
    return message


def _program_failed(answer: dict[str, Any]) -> dict[str, Any]:
    status = failure_status(answer.get("error", ""))
    return {"status": status, "detail": f"{answer.get('error')}: {answer.get('text')}"[:500]}


def failure_status(error: str) -> str:
    """The verdict for an exception that ended a program, by its type's name."""
    if error == "MemoryError":
        return "out_of_memory"
    if error == "TimeUp":
        return "timeout"
    if error in ("SystemExit", "AssertionError"):
        return "wrong"
    return "error"


def _proxy(name: str, commands: int, answers: int) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        forms = values.encode(list(arguments))
        wire.write_frame(commands, {"function": name, "arguments": forms, "keywords": values.encode(dict(keywords))})
        answer = _answer(answers)
        if "arguments" in answer:
            for argument, after in zip(arguments, values.decode(answer["arguments"]), strict=True):
                _become(argument, after)
        if "error" in answer:
            kind = getattr(builtins, str(answer["error"]), None)
            if isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError:
                raise kind(answer.get("text", ""))
            if answer["error"] == "SystemExit":
                raise ProgramExited
            raise ProgramError(f"{answer['error']}: {answer.get('text', '')}")
        return values.decode(answer["value"])

    call.__name__ = name
    return call


def _become(argument: Any, after: Any) -> None:
    """Give a container the content that the program's copy of it has."""
    if isinstance(argument, list) and isinstance(after, list):
        argument[:] = after
    elif isinstance(argument, dict | set) and isinstance(after, dict | set):
        argument.clear()
        argument.update(after)
