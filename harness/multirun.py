"""``harness eval -m``: Hydra's own sweeper and launchers run several configurations."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.config import accepted, explained
from harness.errors import UserError
from harness.paths import conf_dir, project_root

if TYPE_CHECKING:
    from omegaconf import DictConfig

# launchers that come in packages of their own
PACKAGES = {
    "joblib": "hydra_joblib_launcher",
    "ray": "hydra_joblib_launcher",
    "submitit_local": "hydra_submitit_launcher",
    "submitit_slurm": "hydra_submitit_launcher",
}
INTERRUPTED = 130


def multirun(overrides: Sequence[str]) -> int:
    """Run every combination of comma-separated values; the exit code is the worst of the jobs'.

    Raises:
        UserError: Hydra cannot compose the sweep, or the launcher lacks its package or its cluster.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    check_launcher(overrides)
    if GlobalHydra.instance().is_initialized():
        GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="eval"):
        sweeper = GlobalHydra.instance().hydra
        assert sweeper is not None
        try:
            batches = sweeper.multirun(config_name="eval", task_function=job, overrides=accepted(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise explained(str(error), overrides) from error
    return max((done.return_value for batch in batches for done in batch), default=2)


def job(_: DictConfig) -> int:
    """One combination, in whatever process the launcher gives it; its exit code."""
    from hydra.core.hydra_config import HydraConfig

    from harness.cli import eval_once, guarded

    hydra = HydraConfig.get()
    # what the sweeper chose for this job, through the same border as a single run
    chosen = list(hydra.overrides.task)
    if "slurm" in hydra.launcher._target_.lower() and not any(text.startswith("run.dir=") for text in chosen):
        chosen.append(f"run.dir={own_folder(int(hydra.job.num))}")
    code = guarded(lambda: eval_once(chosen))
    if code == INTERRUPTED:
        raise KeyboardInterrupt  # it ends the sweep, not this job alone
    return code


def own_folder(number: int) -> str:
    """A job's folder of runs: SQLite's file must not be written from two machines at once."""
    return str(project_root() / "results" / "runs" / "slurm" / str(number))


def check_launcher(overrides: Sequence[str]) -> None:
    """Whether the launcher has what it needs.

    Raises:
        UserError: its package is not installed, or the cluster is not named.
    """
    chosen = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    launcher = chosen.get("hydra/launcher", "basic")
    package = PACKAGES.get(launcher)
    if package is not None and importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        raise UserError(
            f"hydra/launcher = {launcher}, but the package {package.replace('_', '-')} is not installed.",
            "Run: pip install 'harness[sweep]'",
        )
    if launcher == "ray" and "backend.ray.address" not in chosen:
        raise UserError(
            "hydra/launcher = ray, but backend.ray.address names no cluster for the models.",
            "Start one with ray start --head, and set backend.ray.address=auto (or its host:port).",
        )
