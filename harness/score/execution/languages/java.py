"""Java: assertions on, javatuples on the class path; one compiler for many programs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from harness.score.execution.language import Commands, Language, Tool, before_last_brace, by_exit_code

_TUPLES: Final = "/usr/share/java/javatuples.jar"
_SERVICE: Final = Path(__file__).with_name("JavaService.java")

# Small programs end before the second compiler of the virtual machine, or its parallel collector, would pay.
_SMALL: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


def _commands(_text: str, warm: str) -> Commands:
    return Commands(
        service=("java", *_SMALL, "-Xmx512m", "-cp", warm, "JavaService", _TUPLES),
        run=("java", "-ea", "-Xmx1g", *_SMALL, "-cp", f".:{_TUPLES}", "Problem"),
    )


def _warm(folder: Path, _npm: Path | None) -> None:
    command = ["javac", "-encoding", "UTF8", "-d", str(folder), str(_SERVICE)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


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
    warm=_warm,
    warm_sources=(_SERVICE,),
)
"""Java with javatuples."""
