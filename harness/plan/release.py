"""Data files that their authors release outside of the hub: fetched once, checked, and kept in the user's cache."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from harness.errors import MissingError
from harness.paths import cache_dir

SECONDS = 60  # of silence before a server counts as unreachable


@dataclass(frozen=True)
class Release:
    """One released file of JSON lines, compressed by gzip."""

    name: str
    """Where a mirror keeps it: ``<org>/<file>.jsonl.gz``."""
    url: str
    """Where its authors published it."""
    sha256: str
    """Hash of the text in it: the same text may be compressed in more than one way."""


def fetch_release(release: Release) -> Path:
    """The file in the user's cache, downloaded unless it is there.

    Raises:
        MissingError: it cannot be fetched, or is not the file that was published.
    """
    target = cache_dir() / "data" / release.name
    if target.is_file():
        return target
    remedy = (
        f"Connect to the network, or put the file of {release.url} at {target}, "
        f"or use data=mirror with it at <data.root>/{release.name}, or data=sample."
    )
    try:
        with urllib.request.urlopen(release.url, timeout=SECONDS) as answer:
            content = answer.read()
    except (http.client.HTTPException, OSError) as error:
        raise MissingError(f"data = hub, but {release.name} cannot be downloaded: {error}.", remedy) from error
    try:
        found = hashlib.sha256(gzip.decompress(content)).hexdigest()
    except (OSError, EOFError) as error:
        raise MissingError(f"{release.url} is no gzip file: {error}.", remedy) from error
    if found != release.sha256:
        raise MissingError(f"{release.url} is not the file that was published: its hash is {found[:12]}….", remedy)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    part.replace(target)
    return target
