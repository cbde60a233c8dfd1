"""Numbers as people and models write them: decimals, fractions, powers, roots, in plain text or simple LaTeX."""

from __future__ import annotations

import ast
import math
import re

LONGEST = 1000  # signs; what is longer is no number but a text
MAX_ITEMS = 100  # of a list
MAX_POWER = 1000  # a larger exponent is no answer but a way to stop the machine
NAMES = {"pi": math.pi, "e": math.e}
FUNCTIONS = {"sqrt": math.sqrt, "log": math.log, "ln": math.log, "exp": math.exp}
DECIMAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
LATEX = (
    (r"\\(?:left|right|displaystyle|mathrm|text|,|;|!|\s)", ""),
    (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
    (r"\\[dt]?frac\s*(\d)\s*(\d)", r"(\1/\2)"),
    (r"\\sqrt\s*\{([^{}]*)\}", r"sqrt(\1)"),
    (r"\\times|\\cdot|×|·", "*"),
    (r"\\pi|π", "pi"),
    (r"\\(ln|log|exp)\b", r"\1"),
    (r"√\s*\(?([\d.]+)\)?", r"sqrt(\1)"),
    (r"\^\s*\{([^{}]*)\}", r"**(\1)"),
    (r"\^", "**"),
    (r"\\[()\[\]]|\$|\\%|%|°|\\circ", ""),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"−", "-"),
    (r"(?<=[\d)])\s*(?=pi\b|sqrt\()", "*"),
)


def number(text: str) -> float | None:
    """The number that a text states, or else the only one in it; None if there is none.

    Of an equation or an approximation, the right-hand side counts: ``x = 1/2`` is 0.5. A sentence states the only
    number in it; where it holds several, which one is meant cannot be told. Several lines are no answer.
    """
    if len(text) > LONGEST or "\n" in text.strip():
        return None
    plain = re.split(r"=|≈|\\approx", text)[-1]
    for pattern, replacement in LATEX:
        plain = re.sub(pattern, replacement, plain)
    plain = plain.strip().rstrip(".")
    value = _evaluate(plain)
    if value is not None:
        return value
    # a value with its unit, or a sentence: the longest arithmetic at its start, or the only decimal anywhere
    head = re.match(r"[\d\s.+\-*/()]*\d\)*", plain)
    value = _evaluate(head.group()) if head else None
    if value is not None:
        return value
    found = DECIMAL.findall(plain)
    return float(found[0]) if len(found) == 1 else None


def numbers(text: str) -> list[float] | None:
    """The numbers of a list such as ``[1, 0.5]``, ``(1, 2)`` or ``1, 2``; None if an element states none."""
    if len(text) > LONGEST:
        return None
    inner = re.search(r"[\[({](.*)[\])}]", text, re.DOTALL)
    parts = (inner.group(1) if inner else text).split(",")
    if len(parts) > MAX_ITEMS:
        return None
    found = [number(part) for part in parts if part.strip()]
    known = [value for value in found if value is not None]
    return known if known and len(known) == len(found) else None


def _evaluate(text: str) -> float | None:
    """The value of an arithmetic expression; None for anything else, or for one without a real finite value."""
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    return value if math.isfinite(value) else None


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=bool()):
            raise ValueError("a truth value is no number")
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name) if name in NAMES:
            return NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument))
        case ast.BinOp(left=left, op=operator, right=right):
            return _operate(operator, _value(left), _value(right))
    raise ValueError("no arithmetic")


def _operate(operator: ast.operator, left: float, right: float) -> float:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Pow() if abs(right) <= MAX_POWER:
            value = left**right
            if isinstance(value, float):
                return value
    raise ValueError("no arithmetic")
