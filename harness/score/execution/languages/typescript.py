"""TypeScript: compiled for ES2015 and, where that fails, once more with the compiler's defaults, as
MultiPL-E does; programs of chat models for the latest standard, as their results were published."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Final

from harness.score.execution.language import Commands, Language, Tool, by_exit_code
from harness.score.execution.languages.javascript import FINISH, NODE

_SERVICE: Final = Path(__file__).with_name("typescript_service.js")


def _commands(_text: str, warm: str) -> Commands:
    return Commands(service=("node", f"{warm}/{_SERVICE.name}", f"{warm}/typescript"), run=("node", "test.js"))


def _chat_commands(_text: str, warm: str) -> Commands:
    commands = _commands(_text, warm)
    return dataclasses.replace(commands, service=(*commands.service, "esnext"))


def _warm(folder: Path, npm: Path | None) -> None:
    assert npm, "a program is run only where its tools are"
    shutil.copy(_SERVICE, folder)
    compiler = folder / "typescript" / "lib"
    compiler.mkdir(parents=True)
    for file in (npm / "typescript" / "lib").glob("*"):
        if file.name == "typescript.js" or file.name.endswith(".d.ts"):
            shutil.copy(file, compiler)


LANGUAGE = Language(
    name="ts",
    title="TypeScript",
    file="test.ts",
    tools=(NODE, Tool("typescript", "typescript", npm=True)),
    commands=_commands,
    finish=FINISH,
    passes=by_exit_code,
    memory="data",
    warm=_warm,
    warm_sources=(_SERVICE,),
)
"""TypeScript on Node.js."""

CHAT = dataclasses.replace(LANGUAGE, commands=_chat_commands)
"""The same, as the results of chat models were made."""
