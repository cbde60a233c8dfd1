"""Python values as JSON and back, without trusting who wrote them.

The values of a program under test cross into the judge as data: nothing of the program's code (an
``__eq__`` that always agrees, a ``__reduce__``) comes along. Scalars and lists are themselves; everything
else is an object with one key, its kind.
"""

from __future__ import annotations

import decimal
import hashlib
import json
import numbers
from collections.abc import Iterator
from typing import Any, Final

LONGEST_ITERATOR: Final = 1_000_000
"""Items taken from an iterator before it counts as endless and stays opaque."""

_SMALL: Final = 1 << 1024
"""Larger integers travel as hexadecimal text: Python limits the digits of a decimal conversion."""


class Opaque:
    """A value that is not data (a match, a lambda, an array): equal to nothing, true or false as the
    original."""

    def __init__(self, kind: str, truth: bool) -> None:
        self.kind = kind
        self.truth = truth

    def __bool__(self) -> bool:
        return self.truth

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class ForeignInt(int):
    """An integer of another type than int, such as numpy's: equal by value, different by type."""


class ForeignFloat(float):
    """A number of another type than float: equal by value, different by type."""


class ForeignStr(str):
    """Text of a subclass of str."""


class ForeignList(list[Any]):
    """A subclass of list."""


class ForeignTuple(tuple[Any, ...]):
    """A subclass of tuple, such as a named tuple."""


class ForeignSet(set[Any]):
    """A subclass of set, or a dictionary's view."""


class ForeignDict(dict[Any, Any]):
    """A subclass of dict, such as a Counter."""


_FOREIGN: Final[dict[type, type]] = {
    int: ForeignInt,
    float: ForeignFloat,
    str: ForeignStr,
    list: ForeignList,
    tuple: ForeignTuple,
    set: ForeignSet,
    dict: ForeignDict,
}


def encode(value: Any) -> Any:
    """The JSON form of a value; what has none becomes opaque. Never raises for a value's own misbehaviour."""
    try:
        return _encode(value)
    except Exception:  # noqa: BLE001 - the value's own code runs here (its iterator, its comparison), and may do anything
        return _opaque(value)


def _encode(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if -_SMALL < value < _SMALL else {"int": hex(value)}
    if kind is list:
        return [_encode(item) for item in value]
    if kind is tuple:
        return {"tuple": [_encode(item) for item in value]}
    if kind is dict:
        return {"dict": [[_encode(key), _encode(item)] for key, item in value.items()]}
    if kind is set or kind is frozenset:
        # in an order of their own: a set of texts has another one in every process
        return {kind.__name__: sorted((_encode(item) for item in value), key=repr)}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is bytes or kind is bytearray:
        return {kind.__name__: value.hex()}
    return _encode_other(value)


def _encode_other(value: Any) -> Any:
    bases: tuple[Any, ...] = (str, list, tuple, set, dict)
    for base in bases:
        if isinstance(value, base):
            return {"foreign": _encode(base(value))}
    if isinstance(value, type({}.keys()) | type({}.items())):
        return {"foreign": _encode(set(value))}
    if isinstance(value, numbers.Integral):
        return {"foreign": _encode(int(value))}
    if isinstance(value, numbers.Real | decimal.Decimal) and value == float(value):
        return {"foreign": float(value)}
    if isinstance(value, numbers.Complex):
        return _encode(complex(value))
    if type(value).__module__ == "numpy" and type(value).__name__.startswith("bool"):
        return {"foreign": int(bool(value))}
    if isinstance(value, Iterator | type({}.values())):
        items: list[Any] = []
        for item in value:
            if len(items) == LONGEST_ITERATOR:
                return _opaque(value)
            items.append(_encode(item))
        return {"iterator": items}
    return _opaque(value)


BRIEF: Final = 4096
"""An output of more than this weight (an item weighs 1, text and integers one for each eight bytes) is sent
as a digest, if equality is all that can be asked of it."""


def encode_brief(value: Any) -> Any:
    """As `encode`, but a large value without fractions becomes `{"digest": …}`: equal digests, equal
    values."""
    try:
        if not isinstance(value, str | bytes | int | list | tuple | set | frozenset | dict):
            return encode(value)
        if _weight(value, BRIEF) > 0:
            return encode(value)
        return {"digest": digest(value)}
    except Exception:  # noqa: BLE001 - the value's own code may run here; and what has no digest is sent whole
        return encode(value)


def _weight(value: Any, budget: int) -> int:
    """What is left of a budget after the value; negative or 0 once it is exceeded."""
    if isinstance(value, str | bytes):
        return budget - 1 - len(value) // 8
    if isinstance(value, int):
        return budget - 1 - value.bit_length() // 64
    if isinstance(value, list | tuple | set | frozenset | dict):
        budget -= len(value)
        items = [*value.keys(), *value.values()] if isinstance(value, dict) and budget > 0 else value
        for item in items:
            if budget <= 0:
                break
            budget = _weight(item, budget)
    return budget


def digest(value: Any) -> str:
    """A hash that agrees where `==` does: 1, 1.0 and True are one, a set has no order, a list is no tuple.

    Raises ValueError for a number with a fraction, which has a tolerance, and for what is not data.
    """
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        text = f"n{int(value):x}"
    elif value is None or isinstance(value, str):
        text = f"s{value}" if value is not None else "0"
    elif isinstance(value, bytes | bytearray):
        text = f"b{value.hex()}"
    elif isinstance(value, list | tuple):
        text = f"{'l' if isinstance(value, list) else 't'}{json.dumps([_part(item) for item in value])}"
    elif isinstance(value, set | frozenset):
        text = f"e{sorted(digest(item) for item in value)}"
    elif isinstance(value, dict):
        text = f"d{sorted((digest(key), digest(item)) for key, item in value.items())}"
    else:
        raise ValueError("no digest")
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _part(item: Any) -> str:
    """An item of a list, written so that lists that are equal read the same."""
    if isinstance(item, str):
        return f"s{item}"
    if isinstance(item, int) or (isinstance(item, float) and item.is_integer()):
        return f"n{int(item):x}"
    return "h" + digest(item)


def same_digest(form: Any, other: Any) -> bool:
    """Whether two forms, one of them at least a digest, are of equal values."""
    hashes = [one["digest"] if is_digest(one) else digest(decode(one)) for one in (form, other)]
    return bool(hashes[0] == hashes[1])


def is_digest(form: Any) -> bool:
    """Whether a form is a digest."""
    return isinstance(form, dict) and "digest" in form


def _opaque(value: Any) -> Any:
    try:
        truth = bool(value)
    except Exception:  # noqa: BLE001 - a foreign __bool__ may do anything
        truth = True
    return {"opaque": [f"{type(value).__module__}.{type(value).__qualname__}"[:200], truth]}


def decode(form: Any) -> Any:
    """The value of a JSON form; raises ValueError, TypeError or KeyError for what `encode` does not write."""
    if isinstance(form, list):
        return [decode(item) for item in form]
    if not isinstance(form, dict):
        return form
    ((kind, body),) = form.items()
    if kind == "tuple":
        return tuple(decode(item) for item in body)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in body}
    if kind == "set":
        return {decode(item) for item in body}
    if kind == "frozenset":
        return frozenset(decode(item) for item in body)
    if kind == "int":
        return int(body, 16)
    if kind == "complex":
        return complex(*body)
    if kind == "bytes":
        return bytes.fromhex(body)
    if kind == "bytearray":
        return bytearray.fromhex(body)
    if kind == "iterator":
        return iter([decode(item) for item in body])
    if kind == "opaque":
        return Opaque(str(body[0]), bool(body[1]))
    if kind == "foreign":
        value = decode(body)
        return _FOREIGN[type(value)](value)
    raise ValueError(f"unknown kind {kind!r}")
