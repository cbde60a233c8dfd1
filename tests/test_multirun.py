"""Sweeps by real launchers: every job in a process of its own, the worst exit code, and what is missing named."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.multirun import check_launcher, own_folder
from harness.paths import project_root

LAUNCHERS = [
    ("joblib", "hydra.launcher.n_jobs=2"),
    ("submitit_local", "hydra.launcher.timeout_min=3"),
]


@pytest.mark.parametrize(("launcher", "setting"), LAUNCHERS)
def test_jobs_run_side_by_side_and_the_worst_code_counts(
    launcher: str, setting: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "eval", "-m"),
            *(f"hydra/launcher={launcher}", setting, f"hydra.sweep.dir={tmp_path}/sweep"),
            *("benchmarks=[mmlu]", "limit=2", "shots.mmlu=0", f"run.dir={tmp_path}/runs"),
            f"backend.model={tiny_checkpoint},/no/such/folder",
        ],
        cwd=project_root(),
        env={**os.environ, "PYTHONPATH": str(project_root()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (receipt,) = (tmp_path / "runs").glob("*/receipt.json")
    assert json.loads(receipt.read_text())["status"] == "complete"
    assert receipt.parent.name.startswith("tiny-llama")


MISSING = [
    (["hydra/launcher=ray"], "hydra/launcher = ray, but backend.ray.address names no cluster for the models."),
    (["hydra/launcher=joblib"], "hydra/launcher = joblib, but the package hydra-joblib-launcher is not installed."),
    (
        ["hydra/launcher=submitit_slurm"],
        "hydra/launcher = submitit_slurm, but the package hydra-submitit-launcher is not installed.",
    ),
]


@pytest.mark.parametrize(("overrides", "problem"), MISSING)
def test_what_a_launcher_lacks_is_named(overrides: list[str], problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "not installed" in problem:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        check_launcher(overrides)
    assert caught.value.problem == problem


def test_the_ray_launcher_composes_as_many_light_jobs() -> None:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        config = compose("eval", ["hydra/launcher=ray", "backend.ray.address=auto"], return_hydra_config=True)
    assert config.hydra.launcher.n_jobs == 64
    assert config.hydra.launcher._target_.endswith("JoblibLauncher")


@pytest.mark.parametrize("overrides", [["limit=1,2", "hydra/launcher=jobslib"], ["limt=1,2"]])
def test_a_sweep_that_cannot_be_composed_is_the_users(overrides: list[str]) -> None:
    from harness.multirun import multirun

    with pytest.raises(UserError):
        multirun(overrides)


def test_slurm_jobs_have_stores_of_their_own() -> None:
    assert own_folder(3) != own_folder(4)
    assert own_folder(3).startswith(str(project_root() / "results" / "runs"))
