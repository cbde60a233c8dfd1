"""What was asked, found by the hash that a sample carries."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

MOST_QUERIES = 6  # a doc whose choices stand in the context asks one text a choice


@dataclass(frozen=True)
class Prompt:
    """One doc's prompt."""

    shots: str
    """What other docs share: header and few-shots; empty where there is nothing."""
    queries: tuple[str, ...]
    """The doc's own part: one text, or one a choice."""
    turns: tuple[tuple[str, str], ...] = ()
    """In chat form, role and text of each turn, in place of shots and queries."""
    choices: tuple[str, ...] = ()
    """The continuations whose log-likelihoods were asked."""


class Prompts:
    """The prompts of one run, from ``responses.parquet``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "responses.parquet"

    def find(self, sha256: str | None) -> Prompt | None:
        """The prompt with this hash; None where the run does not hold it."""
        place = self._places.get(sha256 or "")
        if place is None:
            return None
        first, last = place
        options: dict[str, Any] = json.loads(self._options[first]) if self._options else {}
        turns = tuple((str(turn["role"]), str(turn["text"])) for turn in options.get("messages") or ())
        return Prompt(
            self._prefixes[first],
            tuple(self._queries[first : last + 1]),
            turns,
            tuple(options.get("continuations") or ()),
        )

    @cached_property
    def _table(self) -> dict[str, list[str]]:
        import pyarrow.parquet as pq

        if not self._path.is_file():
            return {"prefix": [], "query": [], "options": []}
        file = pq.ParquetFile(self._path)
        names = [name for name in ("prefix", "query", "options") if name in file.schema_arrow.names]
        table = file.read(columns=names)
        return {name: [text or "" for text in table[name].to_pylist()] for name in names}

    @property
    def _prefixes(self) -> list[str]:
        return self._table["prefix"]

    @property
    def _queries(self) -> list[str]:
        return self._table["query"]

    @property
    def _options(self) -> list[str]:
        return self._table.get("options", [])

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """First and last request of each prompt: those of one doc were asked one after the other."""
        places: dict[str, tuple[int, int]] = {}
        prefix, begun = None, hashlib.sha256()
        for i, (shared, query) in enumerate(zip(self._prefixes, self._queries, strict=True)):
            if not shared and not query:
                continue  # an imported output that came without its prompt
            if shared != prefix:
                prefix, begun = shared, hashlib.sha256(_bytes(shared))
            parts = begun.copy()
            for last in range(i, min(i + MOST_QUERIES, len(self._queries))):
                if self._prefixes[last] != shared:
                    break
                parts.update(_bytes(f"\0{self._queries[last]}"))
                places.setdefault(parts.hexdigest(), (i, last))
            # a conversation, and a prompt that was imported in one piece
            whole = begun.copy()
            whole.update(_bytes(query))
            places.setdefault(whole.hexdigest(), (i, i))
        return places


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Docs:
    """The fields of imported docs, which stand in place of prompts that were not published."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "docs.parquet"

    def find(self, task: str, doc_id: str) -> dict[str, Any] | None:
        """The doc's fields; None where the run was not imported."""
        found = self._texts.get((task, doc_id))
        return None if found is None else json.loads(found)

    @cached_property
    def _texts(self) -> dict[tuple[str, str], str]:
        import pyarrow.parquet as pq

        if not self._path.is_file():
            return {}
        table = pq.read_table(self._path, columns=["task", "doc_id", "doc"])
        keys = zip(table["task"].to_pylist(), table["doc_id"].to_pylist(), strict=True)
        return dict(zip(keys, table["doc"].to_pylist(), strict=True))
