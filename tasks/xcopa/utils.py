"""The premise and its connector, which are lm-eval's to word."""

from importlib import import_module
from typing import Any


def vietnamese(doc: dict[str, Any], *, ending: str = "full_stop") -> str:
    """The context of a Vietnamese doc."""
    return connected(doc, "vi", ending)


def indonesian(doc: dict[str, Any], *, ending: str = "full_stop") -> str:
    """The context of an Indonesian doc."""
    return connected(doc, "id", ending)


def thai(doc: dict[str, Any], *, ending: str = "full_stop") -> str:
    """The context of a Thai doc."""
    return connected(doc, "th", ending)


def connected(doc: dict[str, Any], language: str, ending: str) -> str:
    """The premise without the sign that ends it, and the connector of the doc's question."""
    premise = doc["premise"].strip()
    if ending == "full_stop" and not premise.endswith("."):
        # lm-eval drops the last sign whatever it is: in Thai, which has no full stop, a letter
        premise += "."
    in_words = getattr(import_module("lm_eval.tasks.xcopa.utils"), f"doc_to_text_{language}")
    return str(in_words({**doc, "premise": premise}))
