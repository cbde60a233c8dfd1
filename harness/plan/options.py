"""Protocol choices for the functions that a task names.

A function behind ``!function`` may take keyword-only arguments with defaults. lm-eval never passes them, so there the
defaults hold; here each takes the benchmark's option of its name, or ``load`` and ``rows``: data sets and released
files of the run's own data source.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def bind(config: Any, options: Mapping[str, Any]) -> Any:
    """A task's config, or a part of it, with the options given to the functions that ask for them."""
    if isinstance(config, dict):
        return {key: bind(value, options) for key, value in config.items()}
    if isinstance(config, list):
        return [bind(value, options) for value in config]
    return _bound(config, options) if inspect.isfunction(config) else config


def asked(function: Callable[..., Any]) -> set[str]:
    """The options that a function asks for."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def _bound(function: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    chosen = {name: options[name] for name in sorted(asked(function)) if name in options}
    if not chosen:
        return function

    # wrapped, not a partial: lm-eval prints a function's source among a run's configs, and finds it through the wrapper
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, **chosen)

    return call
