"""Where the project's own folders are."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """The folder that holds ``conf/``, ``tasks/`` and ``results/`` (``HARNESS_ROOT`` overrides it)."""
    return Path(os.environ.get("HARNESS_ROOT", Path(__file__).resolve().parents[1]))


def conf_dir() -> Path:
    """The Hydra configuration."""
    return project_root() / "conf"


def tasks_dir() -> Path:
    """The benchmark definitions."""
    return project_root() / "tasks"


def published_dir() -> Path:
    """Published tables as data."""
    return project_root() / "results" / "published"


def cache_dir() -> Path:
    """Derived files that can be deleted at any time."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "harness"
