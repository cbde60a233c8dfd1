"""Every response ever received, in one SQLite file: nothing is asked twice, and nothing is lost when a run is killed.

Keyed by (model fingerprint, request hash). Each batch is one transaction, in WAL mode with ``synchronous=NORMAL``: what
was committed survives the death of the process, and several runs can share the file.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from harness.backends.base import Response, from_json, to_json
from harness.errors import UserError

log = logging.getLogger(__name__)
CHECKED_BELOW = 512 * 1024 * 1024  # bytes; checking every page of a larger store takes too long at each start
CHUNK = 500  # SQLite's limit on variables is higher, but not everywhere


class Store:
    """The responses of all models on this machine."""

    def __init__(self, path: Path) -> None:
        """Open or create the store.

        A damaged file is set aside under another name, with a warning, and a new one begins.

        Raises:
            UserError: the folder cannot be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.OperationalError) as error:
            raise UserError(
                f"run.dir = {path.parent}, where the store cannot be written ({error}).",
                "Choose a folder that you can write: run.dir=FOLDER.",
            ) from error
        except sqlite3.DatabaseError as error:
            aside = _free_name(path)
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            log.warning("the store %s is damaged (%s); it is kept as %s, and a new one begins", path, error, aside.name)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        if self.path.stat().st_size < CHECKED_BELOW:
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                db.close()
                raise sqlite3.DatabaseError(str(verdict))
        db.execute(
            "CREATE TABLE IF NOT EXISTS responses (model TEXT, request TEXT, response TEXT, cost REAL, created REAL, "
            "PRIMARY KEY (model, request)) WITHOUT ROWID"
        )
        db.execute("CREATE TABLE IF NOT EXISTS spending (run TEXT PRIMARY KEY, usd REAL) WITHOUT ROWID")
        return db

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything is committed already."""
        self._db.close()

    def get(self, model: str, requests: Sequence[str]) -> dict[str, tuple[Response, float]]:
        """The stored responses among these request hashes, each with what it cost in US dollars."""
        found: dict[str, tuple[Response, float]] = {}
        for start in range(0, len(requests), CHUNK):
            part = requests[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            query = f"SELECT request, response, cost FROM responses WHERE model = ? AND request IN ({marks})"
            for request, response, cost in self._db.execute(query, [model, *part]):
                found[request] = from_json(json.loads(response)), cost
        return found

    def put(self, model: str, answers: Iterable[tuple[str, Response, float]]) -> None:
        """Keep (request hash, response, cost) triples, in one transaction."""
        now = time.time()
        rows = [(model, request, json.dumps(to_json(response)), cost, now) for request, response, cost in answers]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def spent(self, run: str) -> float:
        """US dollars that a run may have been charged so far, whatever became of the answers."""
        row = self._db.execute("SELECT usd FROM spending WHERE run = ?", [run]).fetchone()
        return 0.0 if row is None else float(row[0])

    def note_spent(self, run: str, usd: float) -> None:
        """Keep what a run may have been charged so far."""
        self._db.execute("INSERT OR REPLACE INTO spending VALUES (?, ?)", [run, usd])


def _free_name(path: Path) -> Path:
    return next(p for i in range(1, 10_000) if not (p := path.with_name(f"{path.name}.damaged-{i}")).exists())
