"""What models and users wrote, made harmless for each format."""

from __future__ import annotations

import html
import re

LONGEST = 2000  # characters of one text; a table or a list of samples shows no more
# control characters, line and paragraph separators, bidirectional marks and overrides
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")
LONE = re.compile(r"[\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@")


def clean(text: str, longest: int = LONGEST) -> str:
    """One line without control characters and bidirectional marks, cut where it is too long."""
    cut = text[:longest]
    cut = LONE.sub("\ufffd", UNSEEN.sub(" ", cut))
    return cut if len(text) <= longest else f"{cut} … ({len(text) - longest:,} more characters)"


def markdown(text: str) -> str:
    """Text of a Markdown cell or line."""
    return re.sub(r"([\\|<>`*_\[\]~$#!&])", r"\\\1", clean(text))


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    text = clean(text)
    return f"'{text}" if text.lstrip()[:1] in FORMULA else text


TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
TEX |= {c: f"\\{c}" for c in "&%$#_"} | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
TEX |= {"±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "†": r"\dag{}", "‡": r"\ddag{}", "·": r"$\cdot$", "…": r"\dots{}"}
TEX |= {"−": r"$-$", "≤": r"$\le$", "≥": r"$\ge$", "→": r"$\to$", "✓": r"\checkmark{}"}


def tex(text: str) -> str:
    """Text of a LaTeX document."""
    return "".join(TEX.get(c, c) for c in clean(text))


def web(text: str) -> str:
    """Text of an HTML page, attributes included."""
    return html.escape(clean(text))


def json_text(text: str) -> str:
    """JSON whose strings show no mark that turns text around: such characters stand as escapes."""
    return re.sub(UNSEEN.pattern.removesuffix("+"), lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character if character in "\n\r\t" else f"\\u{ord(character):04x}"
