"""Samples as compressed pieces of text that stand in the page and are unpacked only when they are looked at.

The page holds, each as gzip in base64:

- ``meta``: names of runs, rows, tasks, verdicts; where each piece begins (JSON);
- ``ids``: the docs' ids, a line each, in the order of the tasks;
- ``marks``: a byte a doc and run, its verdict in the low three bits and its flags above them;
- ``docs-0 …``: lists of docs (JSON), and ``shots-0 …``: lists of few-shot prefixes, which many docs share.

A text that is cut is an object: its head, how many characters are left out, its tail.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.escape import LONE
from harness.report.page.prompts import Prompt
from harness.report.page.samples import Answer, Doc, TaskDocs

PIECE = 64 * 1024  # characters of JSON in one piece: a page of docs far apart unpacks one for each of them
LENGTHS = (None, 20_000, 8_000, 4_000, 2_000, 1_000, 500, 250, 100)  # characters kept of one text, until all fits
PROBE = 1_500  # docs by which the size is estimated
HEADROOM = 0.97


@dataclass(frozen=True)
class Packed:
    """What goes into the page."""

    pieces: dict[str, str]
    """Base64 by name, in the order in which they should stand."""
    longest: int | None
    """Characters kept of one text; None where nothing was cut."""
    docs: int
    """How many."""


def pack(tasks: Sequence[TaskDocs], meta: dict[str, Any], size: int) -> Packed:
    """All samples in about ``size`` bytes: where they do not fit, the middle of long texts is left out.

    Args:
        tasks: the docs.
        meta: what the page must know beside them; the places of the pieces are added.
        size: bytes of base64 that may be used.
    """
    docs = [doc for task in tasks for doc in task.docs]
    shots = _Shots()
    entries = [_entry(doc, shots) for doc in docs]
    marks = bytes(
        0 if answer is None else int(answer.verdict) | int(answer.flags) << 3 for doc in docs for answer in doc.answers
    )
    head = {"ids": _zip("\n".join(doc.doc_id.replace("\n", " ") for doc in docs)), "marks": _zip(marks)}
    left = size - sum(map(len, head.values()))
    for longest in LENGTHS:
        if longest is not LENGTHS[-1] and _estimate(entries, longest) + _estimate(shots.texts, longest) > left:
            continue
        doc_pieces, doc_starts = _pieces(entries, longest)
        shot_pieces, shot_starts = _pieces(shots.texts, longest)
        used = sum(map(len, doc_pieces)) + sum(map(len, shot_pieces))
        if used <= left or longest is LENGTHS[-1]:
            break
    starts, n = [], 0
    for task in tasks:
        starts.append(n)
        n += len(task.docs)
    whole = {**meta, "starts": starts, "n": n, "docs": doc_starts, "shots": shot_starts}
    pieces = {"meta": _zip(json.dumps(whole, ensure_ascii=False)), **head}
    pieces |= {f"shots-{i}": piece for i, piece in enumerate(shot_pieces)}
    pieces |= {f"docs-{i}": piece for i, piece in enumerate(doc_pieces)}
    return Packed(pieces, longest, n)


class _Shots:
    """Few-shot prefixes, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]


def _entry(doc: Doc, shots: _Shots) -> dict[str, Any]:
    """One doc as the script reads it; prompts that several runs share stand there once."""
    prompts: list[dict[str, Any]] = []
    answers: list[dict[str, Any] | None] = []
    for answer in doc.answers:
        if answer is None:
            answers.append(None)
            continue
        prompt = _prompt(answer, shots)
        if prompt not in prompts:
            prompts.append(prompt)
        answers.append(_said(answer) | {"prompt": prompts.index(prompt)})
    return {"target": doc.target, "prompts": prompts, "answers": answers}


def _prompt(answer: Answer, shots: _Shots) -> dict[str, Any]:
    if answer.prompt is None:
        return {"fields": {name: _field(value) for name, value in (answer.doc or {}).items()}}
    prompt: Prompt = answer.prompt
    entry: dict[str, Any] = {}
    if prompt.turns:
        entry["turns"] = [list(turn) for turn in prompt.turns]
    else:
        entry["queries"] = list(prompt.queries)
        if prompt.shots:
            entry["shots"] = shots.place(prompt.shots)
    return entry | ({"choices": list(prompt.choices)} if prompt.choices else {})


def _field(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(part) for part in value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _said(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = {"metrics": {name: round(value, 4) for name, value in answer.metrics.items()}}
    if answer.likelihoods is not None:
        said["likelihoods"] = [round(value, 3) for value in answer.likelihoods]
    else:
        said["raw"] = answer.raw
    said |= {"extracted": answer.extracted} if answer.extracted is not None else {}
    said |= {"rule": answer.rule} if answer.rule is not None else {}
    if answer.published is not None:
        said["published"] = {key: answer.published[key] for key in ("verdict", "extracted", "flag")}
    return said


def cut(value: Any, longest: int | None) -> Any:
    """Everything in an entry, with texts of more than ``longest`` characters cut in their middle."""
    if isinstance(value, str):
        if longest is None or len(value) <= longest:
            return value
        head, tail = longest * 2 // 3, longest // 3
        return {"head": value[:head], "left": len(value) - head - tail, "tail": value[len(value) - tail :]}
    if isinstance(value, list):
        return [cut(part, longest) for part in value]
    if isinstance(value, dict):
        return {key: cut(part, longest) for key, part in value.items()}
    return value


def _json(entry: Any, longest: int | None) -> str:
    return json.dumps(cut(entry, longest), ensure_ascii=False, separators=(",", ":"))


def _pieces(entries: Sequence[Any], longest: int | None) -> tuple[list[str], list[int]]:
    """Compressed lists of about ``PIECE`` characters, and the place of each list's first entry."""
    pieces: list[str] = []
    starts: list[int] = []
    waiting: list[str] = []
    length = 0
    for i, entry in enumerate(entries):
        if not waiting:
            starts.append(i)
        text = _json(entry, longest)
        waiting.append(text)
        length += len(text)
        if length >= PIECE:
            pieces.append(_zip(f"[{','.join(waiting)}]"))
            waiting, length = [], 0
    if waiting:
        pieces.append(_zip(f"[{','.join(waiting)}]"))
    return pieces, starts


def _estimate(entries: Sequence[Any], longest: int | None) -> int:
    """Bytes that the entries take; exact up to ``PROBE`` of them, from runs of neighbours beyond."""
    if len(entries) <= PROBE:
        return sum(map(len, _pieces(entries, longest)[0]))
    groups, together = 10, PROBE // 10
    step = (len(entries) - together) // (groups - 1)
    probe = [entry for i in range(groups) for entry in entries[i * step : i * step + together]]
    return int(_estimate(probe, longest) * len(entries) / len(probe) / HEADROOM)


def _zip(data: str | bytes) -> str:
    if isinstance(data, str):
        data = LONE.sub("\ufffd", data).encode()
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
