"""The eight languages, by their short names in MultiPL-E."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.score.execution.language import Language
from harness.score.execution.languages import bash, cpp, csharp, java, javascript, php, python, typescript
from harness.score.execution.spec import Program

LANGUAGES: Final[Mapping[str, Language]] = {
    module.LANGUAGE.name: module.LANGUAGE for module in (python, cpp, java, php, typescript, csharp, bash, javascript)
}
"""Every language by name, in the order of the published table."""

_CHAT: Final[Mapping[str, Language]] = {module.CHAT.name: module.CHAT for module in (javascript, typescript)}


def of(program: Program) -> Language:
    """The language of a program, as the results of its form were published."""
    chat = _CHAT.get(program.language) if program.form == "chat" else None
    return chat or LANGUAGES[program.language]
