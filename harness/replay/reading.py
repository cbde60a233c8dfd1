"""Foreign files of any known format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.replay import evalplus_results, lm_eval_samples, outputs
from harness.replay.foreign import ForeignFile, lines

FORMATS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[Path], ForeignFile]], ...] = (
    (outputs.recognises, outputs.read),
    (lm_eval_samples.recognises, lm_eval_samples.read),
    (evalplus_results.recognises, evalplus_results.read),
)


def read(path: Path) -> ForeignFile:
    """A foreign file.

    Raises:
        UserError: it cannot be read, or is of no known format.
    """
    first = _first(path)
    for recognises, read_as in FORMATS:
        if recognises(first):
            return read_as(path)
    raise UserError(
        f"{path} is of no format that can be imported.",
        "Give published outputs (doc_id, output …), lm-eval's samples_*.jsonl, or EvalPlus' results or samples.",
    )


def _first(path: Path) -> dict[str, Any]:
    """The first row, or the whole of a file that is one object."""
    if path.suffix != ".json":
        return next(lines(path), {})
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", "Give a file of results as JSON.") from error
    return data if isinstance(data, dict) else {}
