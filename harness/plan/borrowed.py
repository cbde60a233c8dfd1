"""Prompts that belong to other projects, read at run time from the installed package and never copied."""

from __future__ import annotations

import functools
from typing import Any

from harness.plan.library import library_dir


@functools.cache
def lm_eval_yaml(path: str) -> dict[str, Any]:
    """A task file of the installed lm-eval, by its path below ``lm_eval/tasks``; functions are left as names."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return dict(load_yaml(library_dir() / path, resolve_func=False, recursive=False))
