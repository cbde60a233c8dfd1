"""What a foreign file holds, in one form for all formats."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.backends.base import Response
from harness.errors import UserError
from harness.plan.request import Generate, Request, Sampling


@dataclass(frozen=True)
class Sample:
    """One sample that somebody else made, and perhaps judged."""

    doc_id: str
    """The doc's id, as the file has it."""
    part: str
    """Its subject, language, task or level, as the file names it; empty where it names none."""
    prompt: str
    """The question, or the whole prompt; empty where the file leaves it out."""
    asked: tuple[Request, ...]
    """What was asked, as far as the file tells."""
    answers: tuple[Response, ...]
    """The answer to each of them."""
    slots: tuple[tuple[int, int], ...]
    """As in ``harness.plan.planner.DocPlan``."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Everything that the file says of the doc."""
    verdicts: dict[str, float] = field(default_factory=dict)
    """The publisher's verdicts by their names in the file; none where only a total is published."""
    extracted: str | None = None
    """What the publisher took from the answer."""
    flag: str | None = None
    """Why the publisher's verdict is in doubt, if it is."""


@dataclass(frozen=True)
class ForeignFile:
    """A file of samples."""

    path: Path
    """Where it was read."""
    sha256: str
    """Of its bytes."""
    format: str
    """Which of the formats it has."""
    benchmark: str
    """The benchmark or task, as the file names it."""
    model: str | None
    """The model, as the file names it."""
    samples: tuple[Sample, ...]
    """In the file's order."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the publisher's index says of the file: source, licence, protocol, figures."""


@dataclass(frozen=True)
class Replayed(Generate):
    """A text that was asked for elsewhere: the answer belongs to its sample, and to no other of the same prompt."""

    sample: str = ""
    """Names the sample within the run."""

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the sample's name and the prompt."""
        text = "\0".join(["replayed", self.sample, self.query])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def replayed(prompt: str, sample: str) -> Replayed:
    """The request behind a foreign text; limits and stops are the publisher's and mostly unknown."""
    return Replayed("", prompt, (), 0, Sampling(), sample=sample)


def digest(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, compressed or not.

    Raises:
        UserError: the file cannot be read, or a line of it is no JSON object.
    """
    try:
        blob = path.read_bytes()
        text = (gzip.decompress(blob) if path.suffix == ".gz" else blob).decode("utf-8", "surrogatepass")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}", "Give a file of JSON lines, plain or .gz.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is no JSON: {error}", "Give a file of JSON lines.") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is no JSON object.", "Give a file of one object a line.")
        yield row
