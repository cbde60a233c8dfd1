"""What a language module says of its language."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from harness.score.execution.spec import Status

Step = Mapping[str, Any]
"""What the sandbox measured of one command: code, reason, stdout, stderr, wall, cpu."""


@dataclass(frozen=True)
class Tool:
    """One thing that must be installed to run a language."""

    name: str
    """The command, or the file, that is looked for."""

    package: str
    """What to install: Debian's package, or npm's where `npm` says so."""

    version: tuple[str, ...] = ()
    """The command that prints the version; empty for a file, which counts as present or missing."""

    npm: bool = False
    """Whether the package is npm's and lies in the project's own tool folder."""


@dataclass(frozen=True)
class Commands:
    """How one program is compiled and run, given where its language's warm folder is shown."""

    run: tuple[str, ...]
    """The command that runs the program, in its working folder."""

    compile: tuple[str, ...] = ()
    """The command that compiles it; empty where the language has none, or a service compiles."""

    service: tuple[str, ...] = ()
    """A compiler that stays: one process for many programs, which it never runs."""


Commander = Callable[[str, str], Commands]
"""The commands for a program's whole text, and the folder in which the language's warm files are shown."""


@dataclass(frozen=True)
class Language:
    """A language: its tools, its commands, and its rule for a pass."""

    name: str
    """The short name of MultiPL-E."""

    title: str
    """The name for people."""

    file: str
    """The file name that a program's text gets."""

    tools: tuple[Tool, ...]
    """What must be installed."""

    commands: Commander
    """How to compile and run."""

    finish: Callable[[str, str], str]
    """The tests with a last statement that writes the given marker to stdout. ValueError for tests of
    another form."""

    passes: Callable[[Step, str, bool], bool]
    """The benchmark's rule: (the run, its stdout without the marker, whether the marker came) -> passed."""

    memory: Literal["address", "data"] = "address"
    """Which limit of the kernel bounds the memory; run times that reserve much and use little need `data`."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside those of every program."""

    warm: Callable[[Path, Path | None], None] | None = None
    """Makes the files that speed up each program (a precompiled header, a compiler that stays) in an empty
    folder, given also the folder of npm's packages."""

    warm_sources: tuple[Path, ...] = ()
    """Files of ours that the warm folder is made from; a change makes a new one."""


def by_exit_code(step: Step, _output: str, finished: bool) -> bool:
    """The rule of most languages: exit code 0, after the last test."""
    return step["code"] == 0 and finished


def append(statement: str) -> Callable[[str, str], str]:
    """Finish tests that are statements of a script: `statement` follows, with the marker in place of
    MARKER."""

    def finish(tests: str, marker: str) -> str:
        return f"{tests}\n{statement.replace('MARKER', marker)}\n"

    return finish


def before_last_brace(statement: str, braces: int) -> Callable[[str, str], str]:
    """Finish tests that end with a main function: `statement` goes before its closing brace, `braces` from
    the end."""

    def finish(tests: str, marker: str) -> str:
        end = len(tests)
        for _ in range(braces):
            end = tests.rfind("}", 0, end)
            if end < 0:
                raise ValueError("the tests do not end with a main function")
        return tests[:end] + statement.replace("MARKER", marker) + "\n" + tests[end:]

    return finish


_OUT_OF_MEMORY: Final = re.compile(
    r"std::bad_alloc|java\.lang\.OutOfMemoryError|heap out of memory|Allowed memory size of"
    r"|OutOfMemoryException|[Cc]annot allocate memory"
    r"|Out of memory|xmalloc: |xrealloc: |There is insufficient memory"
)
_REASONS: Final[Mapping[str, tuple[Status, str]]] = {
    "timeout": ("timeout", "over its time limit"),
    "memory": ("out_of_memory", "over its memory limit"),
    "output": ("error", "over its output limit"),
}


def stopped(step: Step) -> tuple[Status, str] | None:
    """The status and the reason of a command that the sandbox ended."""
    return _REASONS.get(step["reason"])


@dataclass(frozen=True)
class Judgement:
    """The verdict on the commands of one program."""

    status: Status
    """As in `Verdict`."""

    detail: str = ""
    """As in `Verdict`."""

    published_pass: bool = False
    """As in `Verdict`."""


def judge(language: Language, steps: Sequence[Step], marker: str, compiled: bool) -> Judgement:
    """The verdict on the commands of one program, of which the first was a compilation where `compiled`
    says so."""
    last = steps[-1]
    ended = stopped(last)
    if compiled and len(steps) == 1:
        return Judgement(*(ended or ("error", "does not compile")))
    if ended:
        return Judgement(*ended)
    lines = last["stdout"].splitlines()
    finished = not marker or marker in lines
    output = "\n".join(line for line in lines if line != marker)
    if language.passes(last, output, finished):
        return Judgement("passed", "", True)
    published = language.passes(last, output, True)
    if last["code"] == 0 and not finished:
        return Judgement("wrong", "the program ended before its tests had finished", published)
    if last["code"] != 0 and _OUT_OF_MEMORY.search(last["stderr"] + output):
        # the limit is ours: where programs were published to pass by their messages alone, this one ran out of time
        return Judgement("out_of_memory", "over its memory limit")
    if last["code"] < 0 and last["code"] != -signal.SIGABRT:
        return Judgement("error", f"killed by signal {-last['code']}")
    return Judgement("wrong", f"exit code {last['code']}", published)
