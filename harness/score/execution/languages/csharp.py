"""C#: mono; a failed Debug.Assert writes "Fail" to stderr and does not change the exit code."""

from __future__ import annotations

from harness.score.execution.language import Commands, Language, Step, Tool, before_last_brace


def _commands(_text: str, _warm: str) -> Commands:
    return Commands(compile=("mcs", "-d:DEBUG", "Program.cs", "-out:Program.exe"), run=("mono", "Program.exe"))


def _passes(step: Step, _output: str, finished: bool) -> bool:
    return finished and "Fail" not in step["stderr"]


LANGUAGE = Language(
    name="cs",
    title="C#",
    file="Program.cs",
    tools=(
        Tool("mcs", "mono-mcs", ("mcs", "--version")),
        Tool("mono", "mono-runtime", ("mono", "--version")),
    ),
    commands=_commands,
    finish=before_last_brace('    Console.WriteLine("\\nMARKER");', 2),
    passes=_passes,
    memory="data",
    # By default a failed assertion goes nowhere.
    environment={"MONO_TRACE_LISTENER": "Console.Error"},
)
"""C# by mono's compiler and run time."""
