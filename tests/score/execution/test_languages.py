"""Every language but Python: a pass, a failed test, a program that does not compile, an early exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.score.execution import Program, execute, toolchains
from harness.score.execution.languages import LANGUAGES

CASES = json.loads((Path(__file__).parent / "cases" / "languages.json").read_text(encoding="utf-8"))


def _body(language: str, value: str) -> str:
    return f"echo {value}" if language == "sh" else f"return {value};"


@pytest.mark.parametrize("language", sorted(CASES))
def test_verdicts(language: str) -> None:
    if toolchains.find(language).missing:
        pytest.skip(f"the tools of {language} are not installed: make toolchains")
    case = CASES[language]
    bodies = [_body(language, "42"), _body(language, "41"), "(("]
    sources = [case["program"].replace("BODY", body) for body in bodies] + [case["exit"]]
    verdicts = execute([Program(language, source, case["tests"]) for source in sources])
    assert verdicts[0].passed, verdicts[0]
    assert verdicts[1].status == "wrong", verdicts[1]
    assert verdicts[2].status in ("error", "wrong"), verdicts[2]
    assert (verdicts[3].status, verdicts[3].detail) == (
        "wrong",
        "the program ended before its tests had finished",
    )
    assert all("finished-" not in verdict.stdout for verdict in verdicts)


def test_javascript_fails_on_any_output() -> None:
    if toolchains.find("js").missing:
        pytest.skip("the tools of js are not installed: make toolchains")
    program = Program("js", "function answer() { console.log('hello'); return 42; }\n", CASES["js"]["tests"])
    assert execute([program])[0].status == "wrong"


def test_an_uncaught_exception_in_csharp_is_wrong_though_the_published_rule_passes_it() -> None:
    if toolchains.find("cs").missing:
        pytest.skip("the tools of cs are not installed: make toolchains")
    program = Program(
        "cs", CASES["cs"]["program"].replace("BODY", "throw new ArgumentException();"), CASES["cs"]["tests"]
    )
    verdict = execute([program])[0]
    assert (verdict.status, verdict.published_pass) == ("wrong", True)


@pytest.mark.parametrize("language", ["cpp", "java", "cs"])
def test_tests_of_an_unknown_form_are_refused(language: str) -> None:
    with pytest.raises(ValueError, match="main function"):
        LANGUAGES[language].finish("no function at all", "marker")
