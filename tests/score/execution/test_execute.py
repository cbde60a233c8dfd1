"""The one interface: verdicts, their independence of order and workers, the cache, missing tools."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.score.execution import (
    Limits,
    Program,
    choose_sandbox,
    execute,
    python_check,
    sandbox,
    toolchains,
)
from harness.score.execution.language import Tool
from harness.score.execution.toolchains import Toolchain

RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    ("source", "check", "status"),
    [
        (RIGHT, "assert double(2) == 4", "passed"),
        (RIGHT, "assert double(2) == 5", "wrong"),
        ("def double(x):\n    return x +\n", "assert double(2) == 4", "error"),
        ("def double(x):\n    raise KeyError(x)\n", "assert double(2) == 4", "error"),
        ("def other(x):\n    return x\n", "assert double(2) == 4", "error"),
        ("def double(x):\n    x.append(1)\n", "a = [0]\ndouble(a)\nassert a == [0, 1]", "passed"),
        ("import re\ndef double(x):\n    return re.match('a', x)\n", "assert double('a')\nassert not double('b')", "passed"),
        ("def double(x):\n    return (i for i in (x, x))\n", "assert list(double(2)) == [2, 2]", "passed"),
        ("def double(x):\n    raise ValueError('no')\n", "try:\n    double(1)\nexcept ValueError:\n    pass\nelse:\n    assert False", "passed"),
        ("import math\ndef double(x):\n    return math.pi\n", "assert math.isclose(double(2), 3.14159, rel_tol=1e-3)", "passed"),
        ("def double(x):\n    return helper(x)\ndef helper(x):\n    return 2 * x\n", "assert helper(double(1)) == 4", "passed"),
        ("def double(x):\n    return [10 ** 5000, {(1, 2): {3}}, float('inf')]\n", "assert double(0) == [10 ** 5000, {(1, 2): {3}}, float('inf')]", "passed"),
    ],
)  # fmt: skip
def test_python_verdicts(source: str, check: str, status: str) -> None:
    verdict = python_check(source, check)
    assert verdict.status == status, verdict


def test_a_script_without_tests_passes_by_ending_well() -> None:
    sources = (
        "print('hello')",
        "import sys; sys.exit(0)",
        "1 / 0",
        "if __name__ == '__main__':\n    print('main')",
    )
    verdicts = execute([Program("python", source) for source in sources])
    assert [verdict.status for verdict in verdicts] == ["passed", "wrong", "error", "passed"]
    assert verdicts[0].stdout == "hello\n"
    assert verdicts[3].stdout == "main\n"


def test_verdicts_do_not_depend_on_order_or_workers() -> None:
    programs = [Program("python", f"def f():\n    return {n} % 3\n", "assert f() == 1") for n in range(30)]
    alone = execute(programs, workers=1)
    shuffled = list(range(30))
    random.Random(0).shuffle(shuffled)
    together = execute([programs[number] for number in shuffled], workers=4)
    assert [alone[number].status for number in shuffled] == [verdict.status for verdict in together]
    assert sum(verdict.passed for verdict in alone) == 10


def test_a_sleeper_times_out_after_it_was_repeated_alone() -> None:
    source = "import time\ndef f():\n    time.sleep(60)\n"
    verdict = python_check(source, "f()", limits=Limits(wall=0.3))
    assert verdict.status == "timeout"
    assert verdict.run_seconds > 0.6  # it had three times its limit, in case the machine was busy


def test_earlier_verdicts_come_from_the_cache(tmp_path: Path) -> None:
    program = Program(
        "python", "import time\ndef f():\n    return time.time_ns()\n", "print(f())\nassert f()"
    )
    path = tmp_path / "executions.sqlite"
    first = execute([program], cache=path)
    assert execute([program], cache=path) == first
    other = execute([program], cache=path, limits=Limits(wall=9.0))
    assert other[0].passed
    assert other[0].run_seconds != first[0].run_seconds


def test_a_missing_tool_is_named_before_and_never_a_failure_of_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Toolchain("php", {}, (Tool("php", "php-cli", ("php", "--version")),))
    monkeypatch.setattr(toolchains, "find", lambda _language: missing)
    with pytest.raises(UserError, match="programs in php need tools") as caught:
        toolchains.require(["php"])
    assert "apt-get install php-cli" in caught.value.remedy
    assert execute([Program("php", "<?php", "")])[0].status == "missing_tool"


def test_unknown_names_are_user_errors() -> None:
    with pytest.raises(UserError, match="cobol"):
        execute([Program("cobol", "", "")])
    with pytest.raises(UserError, match=r"execution\.sandbox = jail"):
        choose_sandbox("jail")  # type: ignore[arg-type]


def test_bwrap_by_name_where_it_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bwrap_works", lambda: False)
    with pytest.raises(UserError, match="bubblewrap does not work here"):
        choose_sandbox("bwrap")
    with pytest.warns(UserWarning, match="rlimit"):
        assert choose_sandbox("auto") == "rlimit"


def test_none_still_limits() -> None:
    verdicts = execute(
        [Program("python", RIGHT, "assert double(1) == 2"), Program("python", "def double(x):\n    while 1: pass\n", "double(1)")],
        sandbox="none", limits=Limits(wall=0.5),
    )  # fmt: skip
    assert [verdict.status for verdict in verdicts] == ["passed", "timeout"]
