"""EvalPlus problems as the hub's data sets hold them: the inputs stand in the text of a test program.

That text is read as data and never run. It holds base and plus inputs in one list, base inputs first, each
input once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import UserError
from harness.score.execution import evalplus

# Both lists stand on one line each, which may have hundreds of thousands of characters: parsing the results
# would take as long again.
_INPUTS: Final = re.compile(r"^[ \t]*inputs = (.+)$", re.MULTILINE)
_LISTS: Final = re.compile(r"^([ \t]*)(inputs|results) = .+$", re.MULTILINE)
_NUMBERS: Final = {"inf": float("inf"), "nan": float("nan")}


@dataclass(frozen=True)
class TestProgram:
    """What a test program of the hub's says."""

    inputs: tuple[list[Any], ...]
    """The arguments of each call, as Python values."""

    tolerance: float
    """The absolute tolerance of the comparison."""

    called: str
    """The name that is called: the function under test, or the parameter that stands for it."""


def humaneval_plus(row: Mapping[str, Any]) -> evalplus.Problem:
    """The problem in a row of ``evalplus/humanevalplus``, which does not tell base inputs from plus inputs: all count
    as plus inputs.

    UserError for a row of another form.
    """
    test = read(str(row["test"]), str(row["task_id"]))
    return _problem(row, str(row["entry_point"]), str(row["prompt"]) + str(row["canonical_solution"]), test, 0)


def mbpp_plus(row: Mapping[str, Any]) -> evalplus.Problem:
    """The problem in a row of ``evalplus/mbppplus`` whose ``task_id`` is written as in the releases (``Mbpp/2``).

    Its asserts tell how many of the inputs are base inputs; in one problem (Mbpp/223) they count one plus input too
    many. UserError for a row of another form.
    """
    test = read(str(row["test"]), str(row["task_id"]))
    shown = [call for text in row["test_list"] for call in _calls(text, test.called)]
    # One base input an assert, listed once; where EvalPlus put one before them, the last assert's comes after.
    base = len(set(row["test_list"]))
    if base < len(test.inputs) and test.inputs[base] in shown:
        base += 1
    return _problem(row, test.called, str(row["code"]), test, base)


def _problem(row: Mapping[str, Any], entry: str, reference: str, test: TestProgram, base: int) -> evalplus.Problem:
    return evalplus.problem(
        {
            "task_id": row["task_id"],
            "entry_point": entry,
            "canonical_solution": reference,
            "base_input": test.inputs[:base],
            "plus_input": test.inputs[base:],
            "atol": test.tolerance,
        }
    )


def read(text: str, name: str) -> TestProgram:
    """Inputs, tolerance and function of a test program.

    UserError, with the problem's name, for a program of another form.
    """
    found = _INPUTS.search(text)
    try:
        if found is None:
            raise ValueError("it has no list of inputs")
        inputs = _value(ast.parse(found.group(1), mode="eval").body)
        if not isinstance(inputs, list):
            raise ValueError("its inputs are no list")
        called, tolerance = _comparison(ast.parse(_LISTS.sub(r"\1\2 = []", text)))
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"the tests of {name} are not of the form that EvalPlus publishes: {error}", "Check the data set's files."
        ) from error
    return TestProgram(tuple(list(call) for call in inputs), tolerance, called)


def _comparison(tree: ast.Module) -> tuple[str, float]:
    """What the loop over the inputs calls, and its tolerance: ``assertion(CALLED(*inp), expected, TOLERANCE)``, or, for
    the problem whose right outputs are many, ``assert _poly(*CALLED(*inp), inp) <= TOLERANCE``."""
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    match loops[-1].body[-1] if loops else None:
        case ast.Expr(value=ast.Call(args=[ast.Call(func=ast.Name(id=called)), _, limit])):
            return called, float(_value(limit))
        case ast.Assert(
            test=ast.Compare(
                left=ast.Call(args=[ast.Starred(value=ast.Call(func=ast.Name(id=called))), _]), comparators=[limit]
            )
        ):
            return called, float(_value(limit))
    raise ValueError("it compares in no known way")


def _calls(text: str, name: str) -> list[list[Any]]:
    """The arguments of the calls of a function in an assert, where they are literals."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            try:
                found.append([_value(argument) for argument in node.args])
            except ValueError:
                continue
    return found


def _value(node: ast.expr) -> Any:
    """The value of a literal, with infinity and NaN by their names.

    ValueError for anything else.
    """
    match node:
        case ast.Name(id=name) if name in _NUMBERS:
            return _NUMBERS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)) if name in _NUMBERS:
            return -_NUMBERS[name]
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Set(elts=items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=items) if None not in keys:
            return {_value(key): _value(item) for key, item in zip(keys, items, strict=True) if key is not None}
        case ast.Call(func=ast.Name(id="set"), args=[], keywords=[]):
            return set()
    return ast.literal_eval(node)
