"""Figures as languages write them: digits of every script, and each language's signs for thousands and decimals."""

from __future__ import annotations

import re
import unicodedata

from harness.score.extract import number

# languages that write 1.234,5 or 1 234,5; the others write 1,234.5
COMMA_DECIMAL = {"de", "es", "fr", "ru", "pt", "it", "id", "vi"}
MINUS = "-−－"
POINTS, COMMAS, APOSTROPHES = ".．", ",，٫", "'’٬"
SPACES = "\u00a0\u2009\u202f"  # those that hold a figure together
_SIGN = rf"(?:(?<!\d)[{MINUS}])?[$€£¥￥₽฿]?"
_PLAIN = rf"\d+(?:[{POINTS}{COMMAS}{APOSTROPHES}]\d+)*"


def pattern(language: str) -> str:
    """A regular expression, without groups, for one figure in a text of the language."""
    gap = f"[ {SPACES}]" if language in COMMA_DECIMAL else f"[{SPACES}]"
    spaced = rf"\d{{1,3}}(?:{gap}\d{{3}})+(?!\d)(?:[{POINTS}{COMMAS}]\d+)?"
    return rf"{_SIGN}(?:(?<!\d){spaced}|{_PLAIN})"


def plain(text: str, language: str) -> str:
    """One figure in the canonical form of :func:`harness.score.extract.number`.

    Of two different signs the last is the decimal one. A sign that is repeated parts thousands. A sign that stands once
    before exactly three digits parts thousands too, unless it is a point in a language that writes 1.5, or the figure
    begins with a zero (0,125): texts in Spanish or Russian hold 1.234 as well as 1,234.
    """
    ascii_text = text.translate(_ASCII)
    marks = re.findall(r"[.,]", ascii_text)
    if not marks:
        return number(ascii_text)
    last = marks[-1]
    whole, _, rest = ascii_text.rpartition(last)
    if len(set(marks)) == 2:
        decimal = marks.count(last) == 1
    elif len(marks) > 1:
        decimal = False
    else:
        grouped = len(rest) == 3 and 1 <= len(whole.lstrip("-")) <= 3 and not whole.lstrip("-").startswith("0")
        decimal = not grouped or (last == "." and language not in COMMA_DECIMAL)
    whole = whole.replace(".", "").replace(",", "")
    return number(f"{whole}.{rest}" if decimal else whole + rest.replace(".", "").replace(",", ""))


class _Ascii(dict[int, str]):
    """For ``str.translate``: a digit, sign or mark as ASCII; nothing for currencies, spaces and apostrophes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isdecimal():
            made = str(unicodedata.decimal(character))
        else:
            made = next((one for signs, one in ((MINUS, "-"), (POINTS, "."), (COMMAS, ",")) if character in signs), "")
        self[code] = made
        return made


_ASCII = _Ascii()
