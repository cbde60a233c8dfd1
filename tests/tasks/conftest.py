"""What the tests of the benchmark definitions share."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import pytest

from harness.paths import project_root


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror of real data sets: HARNESS_DATA_ROOT, or the one beside the project."""
    root = Path(os.environ.get("HARNESS_DATA_ROOT", project_root().parent / "shared" / "data" / "hub"))
    if not root.is_dir():
        pytest.skip("needs a mirror of the real data sets: HARNESS_DATA_ROOT, or ../shared/data/hub")
    return root


@pytest.fixture(scope="session")
def published() -> Path:
    """Published outputs of real models with their published verdicts."""
    folder = project_root().parent / "shared" / "data" / "published"
    if not folder.is_dir():
        pytest.skip("needs published model outputs in ../shared/data/published, which a plain clone does not have")
    return folder
