"""Rows of a data set's files: parquet, JSON lines, and comma-separated tables."""

from __future__ import annotations

import csv
import functools
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import MissingError

if TYPE_CHECKING:
    from datasets import Dataset


def dataset(paths: list[Path], blobs: list[bytes], sha256: str) -> Dataset:
    """A split of parquet or JSON lines files, of which the contents are read already; ``sha256`` is theirs."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    if paths[0].suffix == ".parquet":
        table = pa.concat_tables([pq.read_table(pa.BufferReader(blob)) for blob in blobs])
        # without a fingerprint given, ``datasets`` pickles the whole table to make one
        return Dataset(table, fingerprint=sha256[:16])
    return Dataset.from_list([row for path, blob in zip(paths, blobs, strict=True) for row in records(path, blob)])


def records(path: Path, blob: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines, which may be packed by gzip."""
    text = gzip.decompress(blob) if path.suffix == ".gz" else blob
    # split on newlines alone: str.splitlines also breaks at separators that may stand inside a JSON string
    return (json.loads(line) for line in text.decode().split("\n") if line.strip())


@functools.lru_cache(maxsize=2)
def tables(paths: tuple[Path, ...], _sha256: str, columns: tuple[str, ...] | None, origin: str | None) -> Dataset:
    """A split of comma-separated tables, each without a header if ``columns`` names its columns.

    ``origin`` names a column to add: the file that a row is from. Kept, since a table of many subjects is read subject
    by subject.

    Raises:
        MissingError: a row has more or fewer columns.
    """
    from datasets import Dataset

    return Dataset.from_list([row for path in paths for row in _table(path, columns, origin)])


def _table(path: Path, columns: tuple[str, ...] | None, origin: str | None) -> Iterator[dict[str, str]]:
    """The rows of a comma-separated table, every cell as the text that it is: "None" and "1" are answers."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        columns = columns or tuple(next(lines, []))
        for line in lines:
            if len(line) != len(columns):
                raise MissingError(
                    f"{path}: a row of {len(line)} columns, where {len(columns)} were expected ({', '.join(columns)}).",
                    "Check the copy of the data set.",
                )
            row = dict(zip(columns, line, strict=True))
            yield {**row, origin: path.stem} if origin else row
