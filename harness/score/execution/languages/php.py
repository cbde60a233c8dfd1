"""PHP: exit code 0; a failed test is an uncaught exception."""

from __future__ import annotations

from harness.score.execution.language import Commands, Language, Tool, by_exit_code


def _commands(_text: str, _warm: str) -> Commands:
    return Commands(run=("php", "test.php"))


def _finish(tests: str, marker: str) -> str:
    body, closing, _ = tests.rstrip().rpartition("?>")
    return f'{body if closing else tests}\nfwrite(STDOUT, "\\n{marker}\\n");\n'


LANGUAGE = Language(
    name="php",
    title="PHP",
    file="test.php",
    tools=(Tool("php", "php-cli", ("php", "--version")),),
    commands=_commands,
    finish=_finish,
    passes=by_exit_code,
)
"""PHP's command line."""
