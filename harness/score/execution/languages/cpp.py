"""C++: C++17 by g++, without optimisation as MultiPL-E compiles, with the standard headers precompiled."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from harness.score.execution.language import Commands, Language, Tool, before_last_brace, by_exit_code

_ALL: Final = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<bits/stdc\+\+\.h>", re.MULTILINE)
_HEADER: Final = "all.h"


def _commands(text: str, warm: str) -> Commands:
    # The precompiled header holds <bits/stdc++.h> and nothing else: only a program that asks for that gets
    # it, so that no program compiles here which lacks an include.
    include = ("-include", f"{warm}/{_HEADER}") if warm and _ALL.search(text) else ()
    # Linking OpenSSL costs time, and one task of the benchmark (an MD5 sum) uses it.
    libraries = ("-lcrypto", "-lssl") if "openssl/" in text else ()
    return Commands(compile=("g++", "-std=c++17", *include, "test.cpp", "-o", "a.out", *libraries), run=("./a.out",))


def _warm(folder: Path, _npm: Path | None) -> None:
    header = folder / _HEADER
    header.write_text("#include <bits/stdc++.h>\n", encoding="utf-8")
    command = ["g++", "-std=c++17", "-x", "c++-header", str(header), "-o", f"{header}.gch"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


LANGUAGE = Language(
    name="cpp",
    title="C++",
    file="test.cpp",
    tools=(
        Tool("g++", "g++", ("g++", "--version")),
        Tool("/usr/include/boost/any.hpp", "libboost-dev"),
        Tool("/usr/include/openssl/md5.h", "libssl-dev"),
    ),
    commands=_commands,
    finish=before_last_brace('    std::fflush(stdout); std::printf("\\nMARKER\\n"); std::fflush(stdout);', 1),
    passes=by_exit_code,
    warm=_warm,
)
"""C++ with the headers of Boost and OpenSSL."""
