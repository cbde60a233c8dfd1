"""JavaScript: MultiPL-E counts any output, on stdout or stderr, as a failure; of chat models' programs, which
come with examples, the exit code decides."""

from __future__ import annotations

import dataclasses

from harness.score.execution.language import Commands, Language, Step, Tool, append, by_exit_code

NODE = Tool("node", "nodejs", ("node", "--version"))
"""The run time that TypeScript needs too."""

FINISH = append("require('node:fs').writeSync(1, '\\nMARKER\\n');")
"""Writes at once, past anything that the program may have put in place of console.log."""


def _commands(_text: str, _warm: str) -> Commands:
    return Commands(run=("node", "test.js"))


def _passes(step: Step, output: str, finished: bool) -> bool:
    return step["code"] == 0 and finished and not output.strip() and not step["stderr"].strip()


LANGUAGE = Language(
    name="js",
    title="JavaScript",
    file="test.js",
    tools=(NODE,),
    commands=_commands,
    finish=FINISH,
    passes=_passes,
    memory="data",
)
"""JavaScript on Node.js."""

CHAT = dataclasses.replace(LANGUAGE, passes=by_exit_code)
"""The same, as the results of chat models were made."""
