"""lm-eval's ``samples_<task>_<time>.jsonl``: one row a doc and filter, with the doc, the prompt and the metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.backends.base import Generated, Response, Scored
from harness.errors import UserError
from harness.plan.request import Request, Score
from harness.replay.foreign import ForeignFile, Sample, digest, lines, replayed

FORMAT = "lm-eval samples"
NAME = re.compile(r"samples_(?P<task>.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl(?:\.gz)?")


def recognises(row: dict[str, Any]) -> bool:
    """Whether a file's first row is of this format."""
    return all(name in row for name in ("doc_id", "doc", "arguments", "resps"))


def read(path: Path) -> ForeignFile:
    """A file of samples; the task's name comes from the file's.

    Raises:
        UserError: it cannot be read, or holds answers of a kind that has no scorer here.
    """
    named = NAME.fullmatch(path.name)
    by_doc: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(lines(path), 1):
        if not recognises(row) or not isinstance(row["doc"], dict):
            raise UserError(
                f"{path}, row {number} is no sample of lm-eval's.", "Mend the file, or log the samples again."
            )
        by_doc.setdefault(str(row["doc_id"]), []).append(row)
    samples = tuple(_sample(path, doc_id, rows) for doc_id, rows in by_doc.items())
    return ForeignFile(path, digest(path), FORMAT, named["task"] if named else "", _model(path), samples)


def _model(path: Path) -> str | None:
    """lm-eval keeps the samples of a model in a folder of its name, with ``/`` as ``__``."""
    beside = list(path.parent.glob("results_*.json"))
    return path.parent.name.replace("__", "/") if beside else None


def _sample(path: Path, doc_id: str, rows: list[dict[str, Any]]) -> Sample:
    first = rows[0]
    instances = [_texts(each) for each in _values(first["arguments"])]
    try:
        asked, answers, slots = _answers(doc_id, instances, first["resps"])
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(
            f"{path}, doc {doc_id}: its answers are neither texts nor log-likelihoods of choices.",
            "Import samples of generate_until, multiple_choice or loglikelihood tasks.",
        ) from error
    verdicts = {}
    for row in rows:
        for metric in row.get("metrics", ()):
            if isinstance(row.get(metric), (bool, int, float)):
                verdicts[f"{metric},{row.get('filter', 'none')}"] = float(row[metric])
    taken = {row.get("filter", "none"): row.get("filtered_resps") for row in rows}
    fields = {"doc": first["doc"], "taken": {name: _taken(value) for name, value in taken.items()}}
    return Sample(doc_id, "", instances[0][0], asked, answers, slots, fields, verdicts)


def _values(arguments: Any) -> list[Any]:
    return list(arguments.values()) if isinstance(arguments, Mapping) else list(arguments)


def _texts(arguments: Any) -> list[str]:
    """The texts of one instance: its context, and for log-likelihoods the continuation."""
    return [value for value in _values(arguments) if isinstance(value, str)] or [""]


def _answers(
    doc_id: str, instances: list[list[str]], resps: list[list[Any]]
) -> tuple[tuple[Request, ...], tuple[Response, ...], tuple[tuple[int, int], ...]]:
    if isinstance(resps[0][0], str):
        texts = [text for repeats in resps for text in repeats]
        asked = tuple(replayed(instances[0][0], f"{doc_id}/{i}") for i in range(len(texts)))
        answers = tuple(Generated(text, "stop", 0, 0) for text in texts)
        return asked, answers, tuple((i, 0) for i in range(len(texts)))
    contexts: dict[str, list[tuple[str, float, bool]]] = {}
    slots = []
    for (context, continuation), repeats in zip(instances, resps, strict=True):
        value, greedy = repeats[0]
        group = contexts.setdefault(context, [])
        slots.append((list(contexts).index(context), len(group)))
        group.append((continuation, float(value), str(greedy) in ("True", "1")))
    scores = tuple(Score("", context, tuple(text for text, _, _ in group)) for context, group in contexts.items())
    found = tuple(Scored(tuple(v for _, v, _ in g), tuple(b for _, _, b in g), 0) for g in contexts.values())
    return scores, found, tuple(slots)


def _taken(value: Any) -> str | None:
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else None
