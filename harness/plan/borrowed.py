"""Prompts that belong to other projects, read at run time from the installed package and never copied."""

from __future__ import annotations

import ast
import functools
from typing import Any

from harness.plan.library import library_dir


@functools.cache
def lm_eval_yaml(path: str) -> dict[str, Any]:
    """A task file of the installed lm-eval, by its path below ``lm_eval/tasks``; functions are left as names."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return dict(load_yaml(library_dir() / path, resolve_func=False, recursive=False))


@functools.cache
def lm_eval_literal(path: str, name: str) -> Any:
    """The literal that a module of the installed lm-eval binds to ``name``, or that its function ``name`` returns.

    The module is read as data, so that it need not import: some of them want packages that cannot be installed here.
    """
    for node in ast.parse((library_dir() / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            returned = next(inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return))
            assert returned is not None
            return ast.literal_eval(returned)
    raise LookupError(f"{path} of the installed lm-eval has no {name}")
