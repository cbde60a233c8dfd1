"""Published tables as data: rows, columns, and where each column comes from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from harness.paths import published_dir


@dataclass(frozen=True)
class Column:
    """A model of a published table."""

    model: str
    """Its name."""
    kind: str
    """``base`` or ``instruct``."""
    architecture: str
    """``Dense`` or ``MoE``."""
    activated_params: str
    """Parameters used per token, as published."""
    params: str
    """All parameters, as published."""
    source: str
    """Where the figures were published."""
    protocol: str
    """How they were measured, as far as it is known."""


@dataclass(frozen=True)
class Row:
    """A row of a published table."""

    group: str
    """English, Coding, Mathematics …"""
    benchmark: str
    """The row's name."""
    shots: str
    """As published; empty where the members differ."""
    values: dict[str, float | None]
    """Percent by model; None where nothing was published."""
    form: str = ""
    """``loglikelihood`` or ``generation``; empty where it is not known."""
    tolerance: float = 0.5
    """Points by which the same weights may differ, beside the sampling error."""


@dataclass(frozen=True)
class Published:
    """A published table."""

    columns: tuple[Column, ...]
    """In the published order."""
    rows: tuple[Row, ...]
    """In the published order."""


def load_published(folder: Path | None = None, name: str = "qwen2_72b") -> Published:
    """The table ``<name>.csv``; ``<name>_models.csv`` has its columns' sources, ``<name>_rows.csv`` its rows' forms."""
    folder = folder or published_dir()
    columns = tuple(Column(**row) for row in _read(folder / f"{name}_models.csv"))
    known = {row["benchmark"]: row for row in _read(folder / f"{name}_rows.csv")}
    rows = []
    for row in _read(folder / f"{name}.csv"):
        values = {c.model: float(row[c.model]) if row[c.model] else None for c in columns}
        more = known[row["benchmark"]]
        rows.append(Row(row["group"], row["benchmark"], row["shots"], values, more["form"], float(more["tolerance"])))
    return Published(columns, tuple(rows))


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
