"""The one interface: verdicts, their independence of order and workers, the cache, missing tools."""

from __future__ import annotations

import json
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


CASES = json.loads((Path(__file__).parent / "cases" / "python.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["check"][:40])
def test_python_verdicts(case: dict[str, str]) -> None:
    verdict = python_check(case["program"], case["check"])
    assert verdict.status == case["status"], verdict


def test_only_the_function_under_test_may_take_a_name_of_pythons_own() -> None:
    source = "def sum(a, b):\n    return a + b\ndef set(x):\n    return 0\n"
    programs = [
        Program("python", source, "assert sum(1, 2) == 3", "sum"),
        Program("python", source, "assert sum(1, 2) == 3"),
        Program("python", source, "assert set([1]) == set([2])", "sum"),
    ]
    assert [verdict.status for verdict in execute(programs)] == ["passed", "error", "wrong"]


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
    program = Program("python", "import time\ndef f():\n    return time.time_ns()\n", "print(f())\nassert f()")
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
    endless = "def double(x):\n    while True:\n        pass\n"
    programs = [Program("python", RIGHT, "assert double(1) == 2"), Program("python", endless, "double(1)")]
    verdicts = execute(programs, sandbox="none", limits=Limits(wall=0.5))
    assert [verdict.status for verdict in verdicts] == ["passed", "timeout"]
