"""Java: assertions on, javatuples on the class path."""

from __future__ import annotations

from typing import Final

from harness.score.execution.language import Commands, Language, Tool, before_last_brace, by_exit_code

_TUPLES: Final = "/usr/share/java/javatuples.jar"


def _commands(_text: str, _warm: str) -> Commands:
    path = f".:{_TUPLES}"
    return Commands(
        compile=("javac", "-encoding", "UTF8", "-proc:none", "-cp", path, "Problem.java"),
        run=("java", "-ea", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "Problem"),
    )


LANGUAGE = Language(
    name="java",
    title="Java",
    file="Problem.java",
    tools=(
        Tool("javac", "default-jdk-headless", ("javac", "-version")),
        Tool("java", "default-jdk-headless", ("java", "-version")),
        Tool(_TUPLES, "libjavatuples-java"),
    ),
    commands=_commands,
    finish=before_last_brace('    System.out.println("\\nMARKER");', 2),
    passes=by_exit_code,
    memory="data",
)
"""Java with javatuples."""
