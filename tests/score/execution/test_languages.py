"""Every compiled or interpreted language: a pass, a failed test, a program that does not compile, an early exit."""

from __future__ import annotations

import pytest

from harness.score.execution import Program, execute, toolchains
from harness.score.execution.languages import LANGUAGES

TESTS = {
    "cpp": "}\nint main() {\n    assert(answer() == 42);\n}\n",
    "cs": "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Answer() == 42);\n    }\n\n}\n",
    "java": "    }\n    public static void main(String[] args) {\n    assert(answer() == 42);\n    }\n\n}\n",
    "js": "const assert = require('node:assert');\nassert.deepEqual(answer(), 42);\n",
    "php": "function test(): void { if (answer() !== 42) { throw new Exception('Test failed!'); } }\ntest();\n",
    "sh": "set -e\n[[ $(answer) = 42 ]]\n",
    "ts": "declare var require: any;\nconst assert = require('node:assert');\nassert.deepEqual(answer(), 42);\n",
}
FORM = {
    "cpp": "#include <bits/stdc++.h>\n#include <assert.h>\nlong answer() {\n    BODY\n",
    "cs": "using System;\nusing System.Diagnostics;\nclass Problem {\n    public static long Answer() {\n        BODY\n",
    "java": "class Problem {\n    public static long answer() {\n        BODY\n",
    "js": "function answer() { BODY }\n",
    "php": "<?php\nfunction answer() { BODY }\n",
    "sh": "answer() {\n    BODY\n}\n",
    "ts": "function answer(): number { BODY }\n",
}
EXIT = {
    "cpp": "exit(0);", "cs": "Environment.Exit(0); return 0;", "java": "System.exit(0); return 0;",
    "js": "process.exit(0);", "php": "exit(0);", "sh": "exit 0", "ts": "(globalThis as any).process.exit(0); return 0;",
}  # fmt: skip


def _body(language: str, value: str) -> str:
    return f"echo {value}" if language == "sh" else f"return {value};"


@pytest.mark.parametrize("language", sorted(TESTS))
def test_verdicts(language: str) -> None:
    if toolchains.find(language).missing:
        pytest.skip(f"the tools of {language} are not installed: make toolchains")
    bodies = [_body(language, "42"), _body(language, "41"), "((", EXIT[language]]
    programs = [Program(language, FORM[language].replace("BODY", body), TESTS[language]) for body in bodies]
    if language == "sh":  # an exit inside $( ) ends only that; at the top level it ends the script
        programs[3] = Program(language, "exit 0\n", TESTS[language])
    if language == "ts":  # without the types of Node.js, `globalThis` is older than the library
        programs[3] = Program(language, "declare var process: any;\nfunction answer(): number { process.exit(0); return 0; }\n", TESTS[language])  # fmt: skip
    verdicts = execute(programs)
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
    program = Program("js", "function answer() { console.log('hello'); return 42; }\n", TESTS["js"])
    assert execute([program])[0].status == "wrong"


def test_an_uncaught_exception_in_csharp_is_wrong_though_the_published_rule_passes_it() -> None:
    if toolchains.find("cs").missing:
        pytest.skip("the tools of cs are not installed: make toolchains")
    program = Program("cs", FORM["cs"].replace("BODY", "throw new ArgumentException();"), TESTS["cs"])
    verdict = execute([program])[0]
    assert (verdict.status, verdict.published_pass) == ("wrong", True)


@pytest.mark.parametrize("language", ["cpp", "java", "cs"])
def test_tests_of_an_unknown_form_are_refused(language: str) -> None:
    with pytest.raises(ValueError, match="main function"):
        LANGUAGES[language].finish("no function at all", "marker")
