"""Run programs that a model wrote, as the benchmarks' authors run them, without trusting them.

`execute` takes programs with their tests and gives verdicts; `evalplus` and `multipl_e` know how their
benchmarks assemble and judge programs; `toolchains` tells which languages can be run here.
"""

from harness.score.execution.run import execute, python_check
from harness.score.execution.sandbox import choose as choose_sandbox
from harness.score.execution.spec import Limits, Program, SandboxName, Status, Verdict

__all__ = [
    "Limits",
    "Program",
    "SandboxName",
    "Status",
    "Verdict",
    "choose_sandbox",
    "execute",
    "python_check",
]
