"""Verdicts of earlier executions, by the hash of everything that can change them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

MEANING: Final = 2
"""The version of what a verdict means; raised when a rule of judging changes, so that no old verdict is
used."""


def key(**parts: Any) -> str:
    """The hash of program, tests, limits, toolchain, sandbox and the meaning of a verdict."""
    text = json.dumps({"meaning": MEANING, **parts}, sort_keys=True, default=_fields)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass as its fields; unlike ``asdict``, without a copy of all that is in them."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


class Cache:
    """One SQLite file; several processes may use it at a time. A context manager."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; its folder is made too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS executions (key TEXT PRIMARY KEY, value TEXT NOT NULL)")

    def get(self, key: str) -> Any:
        """What was stored under a key, or None."""
        row = self._connection.execute("SELECT value FROM executions WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, entries: Mapping[str, Any]) -> None:
        """Store several values at once."""
        rows = [(key, json.dumps(value)) for key, value in entries.items()]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO executions VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
