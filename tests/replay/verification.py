"""The tables of docs/verification.md: they stand between two marks, and everything around them is written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.replay.agreement import Agreement, Agreements

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


@dataclass(frozen=True)
class Verified:
    """A published file, imported and compared."""

    name: str
    """The file's, without its endings."""
    model: str
    """Who wrote the outputs."""
    stated: Any
    """The figure that the publisher states, if any."""
    rules: tuple[dict[str, Any], ...]
    """Which of the authors' rules were tried, with the verdicts that agree."""
    found: tuple[Agreements, ...]
    """By benchmark."""


def tables(files: Iterable[Verified]) -> str:
    """The files, the parts of those whose parts have figures of their own, and the rules that judged."""
    files = list(files)
    lines = [
        "| benchmark | outputs of | n | here | their verdicts | stated | equal verdicts | % | in doubt | same answer |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_row(file, each) for file in files for each in file.found]
    lines += ["", "| part | n | here | published | equal verdicts | % |", "|---|---:|---:|---:|---:|---:|"]
    for file in files:
        for each in file.found:
            lines += [_part(f"{each.whole.name}, {file.model}: {part.name}", part) for part in each.parts]
    lines += ["", "| outputs | rules tried | equal verdicts | of |", "|---|---|---:|---:|"]
    for file in files:
        for rule in file.rules:
            for choice, agree in rule["agreement"].items():
                shown = f"**{choice}**" if choice == rule["chosen"] else choice
                lines.append(f"| {file.name} | {shown} | {agree:,} | {rule['of']:,} |")
    return "\n".join(lines)


def _row(file: Verified, each: Agreements) -> str:
    whole = each.whole
    cells = [
        whole.name,
        file.model,
        f"{whole.n:,}",
        f"{whole.ours:.2f}",
        "–" if whole.theirs is None or not whole.compared else f"{whole.theirs:.2f}",
        _stated(file.stated, whole.name),
        *_equal(whole),
        f"{whole.flagged:,}" if whole.flagged else "–",
        "–" if each.answers is None else f"{each.answers[0]:,} of {each.answers[1]:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _part(name: str, part: Agreement) -> str:
    theirs = "–" if part.theirs is None else f"{part.theirs:.2f}"
    return f"| {' | '.join([name, f'{part.n:,}', f'{part.ours:.2f}', theirs, *_equal(part)])} |"


def _equal(part: Agreement) -> tuple[str, str]:
    if part.share is None:
        return "–", "–"
    return f"{part.agree:,} of {part.compared:,}", f"{100 * part.share:.2f}"


def _stated(stated: Any, name: str) -> str:
    value = stated.get(name.lower()) if isinstance(stated, dict) else stated
    return f"{value:g}" if isinstance(value, (int, float)) else "–"


def write(path: Path, files: Sequence[Verified]) -> None:
    """Put the tables in their place.

    Raises:
        UserError: the file has no such place.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path} has no lines {BEGIN} and {END}.", "Give docs/verification.md, or add the lines.")
    path.write_text(f"{before}{BEGIN}\n\n{tables(files)}\n\n{END}{after}", encoding="utf-8")
