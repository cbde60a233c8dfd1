"""``harness eval -m``: Hydra's own sweeper and launchers run several configurations."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.config import accepted
from harness.paths import conf_dir


def multirun(overrides: Sequence[str]) -> int:
    """Run every combination of comma-separated values; the exit code is the worst of the jobs'."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    codes: list[int] = []

    @hydra.main(config_path=str(conf_dir()), config_name="eval", version_base="1.3")  # type: ignore[untyped-decorator]
    def job(_: DictConfig) -> int:
        from harness.cli import eval_once, guarded

        # what the sweeper chose for this job, through the same border as a single run
        chosen = list(HydraConfig.get().overrides.task)
        code = guarded(lambda: eval_once(chosen))
        codes.append(code)
        return code

    before = sys.argv
    sys.argv = [before[0], "--multirun", *accepted(overrides)]
    try:
        job()
    finally:
        sys.argv = before
    return max(codes, default=2)
