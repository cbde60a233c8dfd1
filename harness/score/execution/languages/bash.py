"""Bash: exit code 0 of a script that ends at its first failing test (`set -e`)."""

from __future__ import annotations

from harness.score.execution.language import Commands, Language, Tool, append, by_exit_code


def _commands(_text: str, _warm: str) -> Commands:
    return Commands(run=("bash", "test.sh"))


LANGUAGE = Language(
    name="sh",
    title="Bash",
    file="test.sh",
    # Models reach for bc often; where it is missing, right programs fail.
    tools=(Tool("bash", "bash", ("bash", "--version")), Tool("bc", "bc", ("bc", "--version"))),
    commands=_commands,
    finish=append("builtin printf '\\n%s\\n' MARKER"),
    passes=by_exit_code,
)
"""Bash with bc."""
