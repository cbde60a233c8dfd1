"""Python: the agent itself plays the program, and its tests call it from another process."""

from __future__ import annotations

from harness.score.execution.language import Commands, Language, append, by_exit_code


def _commands(_text: str, _warm: str) -> Commands:
    return Commands(run=())


LANGUAGE = Language(
    name="python",
    title="Python",
    file="program.py",
    tools=(),
    commands=_commands,
    finish=append(""),
    passes=by_exit_code,
)
"""Python needs no tool but the interpreter of the harness, and no marker: see `inside.judge`."""
