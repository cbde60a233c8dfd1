"""What is run, within which limits, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "wrong", "error", "timeout", "out_of_memory", "missing_tool"]
SandboxName = Literal["auto", "bwrap", "rlimit", "none"]

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one program may use. A program over a limit is ended; none of them is ever a pass."""

    wall: float = 10.0
    """Seconds that the run may take by the clock, its compilation apart."""

    compile_wall: float = 60.0
    """Seconds that the compilation may take by the clock."""

    cpu: float = 20.0
    """Seconds of processor time for one process, rounded up to whole ones."""

    memory: int = 2048 * MIB
    """Bytes for the address space (or the data, where a run time reserves more than it uses) of one process,
    and for what all processes of the program hold together."""

    processes: int = 64
    """Processes and threads at a time; run times of Java, C# and JavaScript need about thirty threads."""

    file_size: int = 64 * MIB
    """Bytes of one file; all files together may have four times as many where the sandbox has its own
    /tmp."""

    output: int = 16 * MIB
    """Bytes that the program may write to stdout and stderr together."""


@dataclass(frozen=True)
class Program:
    """One program and the tests that decide about it."""

    language: str
    """The language's short name in MultiPL-E: python, cpp, java, php, ts, cs, sh or js."""

    source: str
    """The program's text: all that the model and its prompt gave, and the header of the language."""

    tests: str = ""
    """The tests' text, which follows the source. In Python it runs apart, and calls the program's functions;
    without tests, the program passes by ending well."""

    entry_point: str = ""
    """In Python, the function under test, where it is known: it alone may take the name of one of Python's
    own, such as `sum`, in the tests. No other program's function replaces what the tests rely on."""

    form: Literal["completion", "chat"] = "completion"
    """Whose results are followed where the publishers of base and of chat results compile or judge a
    language differently (JavaScript, TypeScript)."""


@dataclass(frozen=True)
class Verdict:
    """What came of one program."""

    status: Status
    """`passed`, or why not: `wrong` (a test failed or did not finish), `error` (no compilation, a crash,
    too much output), `timeout`, `out_of_memory`, `missing_tool` (the language is not installed here)."""

    detail: str = ""
    """One line for people: which test, which exception, which limit."""

    stdout: str = ""
    """The end of what the program wrote to stdout."""

    stderr: str = ""
    """The end of what the program, or its compiler, wrote to stderr."""

    compile_seconds: float = 0.0
    """Time of the compilation by the clock."""

    run_seconds: float = 0.0
    """Time of the run by the clock."""

    cpu_seconds: float = 0.0
    """Processor time of the run, as far as the kernel attributes it."""

    published_pass: bool = False
    """Whether the benchmark's published rule passes the program: it does not ask whether the tests
    finished, so that in C# an uncaught exception passes. A figure to set beside published ones; `status` is
    the verdict."""

    @property
    def passed(self) -> bool:
        """Whether the program passed all its tests."""
        return self.status == "passed"
