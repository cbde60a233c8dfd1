"""MultiPL-E: programs from what a model wrote, as the benchmark's published results were made.

Base models continue the prompt; chat models answer with a fenced block. Cassano et al. 2022, "MultiPL-E: A
Scalable and Extensible Approach to Benchmarking Neural Code Generation"; the rules for chat are those of
the published results for instruct models.
"""

from __future__ import annotations

import re
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
_IMPORTS: Final = (
    "import math, re, sys, copy, datetime, itertools, collections, heapq, statistics, functools, hashlib\n"
    "import string\n"
    "try:\n    import numpy\n    import numpy as np\nexcept ImportError:\n    pass\n"
    "from typing import *\nfrom collections import *\n"
)
_BASE_HEADERS: Final = {
    "python": _IMPORTS,
    "cpp": "".join(f"#include<{name}>\n" for name in _CPP.split()) + "\n",
    "cs": "".join(f"using {name};\n" for name in _CS.split()) + "\n",
}
_TYPESCRIPT_STOPS: Final = ("\nexport", "\nimport", "\nexport default", "\nimport default", "\nconsole.log")


def cut(output: str, stops: Sequence[str]) -> str:
    """The output up to the earliest stop string."""
    ends = [end for stop in stops if (end := output.find(stop)) >= 0]
    return output[: min(ends)] if ends else output


def base_program(
    language: str, prompt: str, output: str, tests: str, stops: Sequence[str], entry_point: str = ""
) -> Program:
    """The program of a base model: header, prompt, the continuation up to its first stop string; then the
    tests.

    Python takes the name of the function under test. Raises UserError for a language that cannot be run.
    """
    _known(language)
    extra = _TYPESCRIPT_STOPS if language == "ts" else ()
    body = cut(output, [*stops, *extra])
    return Program(language, f"{_BASE_HEADERS.get(language, '')}{prompt}\n{body}\n", tests, entry_point)


def _known(language: str) -> None:
    if language not in LANGUAGES:
        raise UserError(f"language {language} cannot be run.", f"Use one of {', '.join(LANGUAGES)}.")


_JAVA: Final = (
    "".join(
        f"import {name}.*;\n"
        for name in (
            "java.util",
            "java.lang.reflect",
            "org.javatuples",
            "java.security",
            "java.math",
            "java.io",
        )
    )
    + "import java.util.stream.*;\n"
)
_CHAT_HEADERS: Final = {
    "java": _JAVA,
    "cs": "using System;\n" + _BASE_HEADERS["cs"],
    "cpp": "".join(f"#include<{name}>\n" for name in ("bits/stdc++.h", "boost/any.hpp", *_CPP.split())),
}
# The function that the prompt asks for: the last one that it opens.
_NAMES: Final = {
    "python": re.compile(r"^def\s+(\w+)", re.MULTILINE),
    "java": re.compile(r"public\s+static\s+[^(\n]*?(\w+)\s*\(", re.MULTILINE),
    "cs": re.compile(r"public\s+static\s+[^(\n]*?(\w+)\s*\(", re.MULTILINE),
    "php": re.compile(r"^function\s+(\w+)", re.MULTILINE),
    "sh": re.compile(r"^(\w+)\s*\(\)", re.MULTILINE),
}


def fenced(output: str) -> str:
    """The content of the first fenced block, whatever its tag, or what a single fence opens or closes; the
    whole text where there is none."""
    before, fence, after = output.partition("```")
    _, _, block = after.partition("\n")
    inside, closed, _ = block.partition("```")
    if closed:
        return inside
    # a fence that only opens has its tag and the code behind it; one that only closes has the code before it
    return block if block.strip() else before if fence else output


def chat_program(language: str, prompt: str, output: str, tests: str, *, published: bool = False) -> Program:
    """The program of a chat model: its first fenced block, completed for the language; then the tests.

    ``published`` assembles C++, Java and Bash as one version of the publisher's scripts does, which loses programs that
    are right: of C++ the asked function alone, without its helpers; of Java and Bash what comes before the last lines
    of a brace alone. Other versions differ, and which one judged the published results is not known.

    Raises UserError for a language that cannot be run.
    """
    _known(language)
    code = fenced(output)
    if published and language == "cpp":
        code = _CHAT_HEADERS[language] + "using namespace std;\n" + _before_brace(_function_alone(prompt, output))
    elif published and language == "java":
        code = _CHAT_HEADERS[language] + _cut_class(prompt, code)
    elif published and language == "sh":
        code = _before_brace(code if _name(language, prompt) in code else prompt + code)
    elif language in ("java", "cs"):
        code = _CHAT_HEADERS[language] + _open_class(language, prompt, code)
    elif language == "cpp":
        code = _CHAT_HEADERS[language] + _open_function(_without_main(code, "int main("))
    elif language == "python":
        code = _IMPORTS + (code if _name(language, prompt) in code else prompt + code)
    elif language in ("js", "ts"):
        code = code if "function" in code else prompt + code
    elif language == "sh":
        known = re.search(rf"\b{re.escape(_name(language, prompt))}\s*\(\)", code)
        code = _open_function(code if known else prompt + code)
    else:
        code = _php(prompt, code)
    return Program(language, f"{code}\n", tests, form="chat")


def _name(language: str, prompt: str) -> str:
    """The name of the function that a prompt asks for; empty where it shows none."""
    names = _NAMES[language].findall(prompt)
    return names[-1] if names else ""


def _php(prompt: str, code: str) -> str:
    if not re.search(rf"function\s+{re.escape(_name('php', prompt))}\s*\(", code):
        code = prompt + re.sub(r"<\?php", "", code)
    code = code.replace("?>", "")
    return code if "<?php" in code else "<?php\n" + code


def _open_class(language: str, prompt: str, code: str) -> str:
    """The class of the program without a main of its own and still open: the tests bring a main and close
    it."""
    name = _name(language, prompt)
    # up to the next of these words alone, so that a text of nothing else is read once
    between = r"(?:(?!public\s+static\s)[^(\n])*?"
    if not re.search(rf"public\s+static\s+{between}\b{re.escape(name)}\s*\(", code):
        code = prompt + code
    imports = [line for line in code.splitlines() if _is_import(line)]
    lines = [line for line in code.splitlines() if not _is_import(line) and not line.startswith("package ")]
    code = "\n".join(lines)
    if not re.search(r"\bclass\s+Problem\b", code):
        code = "class Problem {\n" + code + "\n}"
    code = re.sub(r"public\s+(?=(?:static\s+)?class\s+Problem\b)", "", code)
    start = code.find("class Problem")
    code = _without_main(code, "public static void main(" if language == "java" else "static void Main(")
    end = _closing(code, code.find("{", start))
    body, after = code[:end].rstrip(), code[end + 1 :]
    # The tests begin with the brace that closes the function; what the class holds after Problem goes
    # before it.
    body = body.removesuffix("}")
    return "\n".join([*imports, after, body])


def _cut_class(prompt: str, code: str) -> str:
    """The class up to its last lone braces, as many as leave it and the function open; then without its main."""
    name = re.escape(_name("java", prompt))
    if not re.search(rf"public static .*?\b{name}\(", code):
        code = f"{prompt}\n{code}"
    elif "class Problem" not in code:
        code = "class Problem {\n" + code
    open_braces = code.count("{") - code.count("}")
    if open_braces in (0, 1):
        code = _before_brace(code, 2 - open_braces)
    code = _without_main(code, "public static void main(")
    return re.sub(r"public\s+(?=class\s+Problem\b)", "", code)


def _function_alone(prompt: str, output: str) -> str:
    """The asked function from the line of its signature, with the includes above it; else the first fenced block."""
    heads = re.findall(r"^(\S.*?\b\w+)\(.*\)\s*\{\s*$", prompt, re.MULTILINE)
    # the last word of its type and its name: whatever is written before them
    head = " ".join(heads[-1].split()[-2:]) if heads else None
    lines = output.splitlines()
    start = next((i for i, line in enumerate(lines) if head is not None and head in line), None)
    if start is not None:
        depth = 0
        for i, line in enumerate(lines[start:], start):
            depth += line.count("{") - line.count("}")
            if "}" in line and depth <= 0:
                above = [line for line in lines[:start] if line.startswith(("#include", "using namespace"))]
                return "\n".join([*above, *lines[start : i + 1]]) + "\n"
    code = fenced(output)
    return code if head is None or head.split()[-1] in code else prompt + code


def _before_brace(code: str, last: int = 1) -> str:
    """The code before the line that is a brace alone and the ``last`` of these, counted from the end."""
    lines = code.split("\n")
    lone = [i for i, line in enumerate(lines) if line.strip() == "}"]
    return "\n".join(lines[: lone[max(-last, -len(lone))]]) if lone else code


def _is_import(line: str) -> bool:
    return bool(re.match(r"\s*(import\s+(static\s+)?[\w.*]+;|using\s+[\w.]+;)", line))


def _without_main(code: str, opening: str) -> str:
    """The code without the function that `opening` begins, whose braces must balance."""
    start = code.find(opening)
    if start < 0:
        return code
    start = code.rfind("\n", 0, start) + 1
    end = _closing(code, code.find("{", start))
    return code[:start] + code[end + 1 :]


def _closing(code: str, opening: int) -> int:
    """The index of the brace that closes the one at `opening`; the end of the text where none does.

    Braces in texts and comments count as well, as for the publishers' own rules.
    """
    depth = 0
    for index in range(max(opening, 0), len(code)):
        depth += {"{": 1, "}": -1}.get(code[index], 0)
        if depth == 0 and code[index] == "}":
            return index
    return len(code)


def _open_function(code: str) -> str:
    """The code up to the brace that closes its last function, which the tests bring; examples go with it."""
    end = code.rfind("\n}")
    return code[:end] if end >= 0 else code
