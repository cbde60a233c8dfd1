"""MultiPL-E: programs from what a model wrote, as the benchmark's published results were made.

Base models continue the prompt; chat models answer with a fenced block. Cassano et al. 2022, "MultiPL-E: A Scalable
and Extensible Approach to Benchmarking Neural Code Generation"; the rules for chat are those of the published
results for instruct models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.errors import UserError
from harness.score.execution.languages import LANGUAGES
from harness.score.execution.spec import Program

_CPP: Final = "stdlib.h algorithm math.h stdio.h vector string climits cstring iostream cassert"
_CS: Final = (
    "System.Numerics System.Diagnostics System.Collections.Generic System.Linq System.Text "
    "System.Security.Cryptography System.Collections.Generic"
)
_BASE_HEADERS: Final = {
    "cpp": "".join(f"#include<{name}>\n" for name in _CPP.split()) + "\n",
    "cs": "".join(f"using {name};\n" for name in _CS.split()) + "\n",
}
_TYPESCRIPT_STOPS: Final = ("\nexport", "\nimport", "\nexport default", "\nimport default", "\nconsole.log")


def cut(output: str, stops: Sequence[str]) -> str:
    """The output up to the earliest stop string."""
    ends = [end for stop in stops if (end := output.find(stop)) >= 0]
    return output[: min(ends)] if ends else output


def base_program(language: str, prompt: str, output: str, tests: str, stops: Sequence[str]) -> Program:
    """The program of a base model: header, prompt, the continuation up to its first stop string; then the tests.

    Raises UserError for a language that cannot be run.
    """
    _known(language)
    extra = _TYPESCRIPT_STOPS if language == "ts" else ()
    body = cut(output, [*stops, *extra])
    return Program(language, f"{_BASE_HEADERS.get(language, '')}{prompt}\n{body}\n", tests)


def _known(language: str) -> None:
    if language not in LANGUAGES:
        raise UserError(f"language {language} cannot be run.", f"Use one of {', '.join(LANGUAGES)}.")
