"""Which languages can be run here, and by which versions of their tools."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import UserError
from harness.score.execution.language import Language, Tool
from harness.score.execution.languages import LANGUAGES


@dataclass(frozen=True)
class Toolchain:
    """What was found for one language."""

    language: str
    """The language's short name."""

    versions: Mapping[str, str]
    """Tool by tool, the first line of what it says of its version."""

    missing: tuple[Tool, ...]
    """The tools that are not here."""

    @property
    def text(self) -> str:
        """The versions in one line, which is part of the key of a cached execution."""
        return "; ".join(f"{name} {version}" for name, version in self.versions.items())


def npm_folder() -> Path | None:
    """The folder of npm packages that `make toolchains` fills: below the working folder, or beside the
    package."""
    for root in (Path.cwd(), Path(__file__).parents[3]):
        folder = root / ".toolchains" / "node_modules"
        if folder.is_dir():
            return folder
    return None


@cache
def find(language: str) -> Toolchain:
    """Look for the tools of a language. UserError for a language that there is not."""
    if language not in LANGUAGES:
        raise UserError(f"language {language} cannot be run.", f"Use one of {', '.join(LANGUAGES)}.")
    versions: dict[str, str] = {}
    missing: list[Tool] = []
    if language == "python":
        versions["python"] = platform.python_version()
    for tool in LANGUAGES[language].tools:
        version = _npm_version(tool) if tool.npm else _version(tool)
        if version is None:
            missing.append(tool)
        else:
            versions[tool.name] = version
    return Toolchain(language, versions, tuple(missing))


def probe() -> dict[str, Toolchain]:
    """What is here for every language; for the receipt and for `harness list toolchains`."""
    return {language: find(language) for language in LANGUAGES}


def require(languages: Iterable[str]) -> dict[str, str]:
    """The versions of the tools of these languages, for the receipt. UserError names every missing
    package."""
    found = [find(language) for language in sorted(set(languages))]
    missing = {tool for toolchain in found for tool in toolchain.missing}
    if missing:
        names = ", ".join(toolchain.language for toolchain in found if toolchain.missing)
        debian = sorted({tool.package for tool in missing if not tool.npm})
        npm = sorted({tool.package for tool in missing if tool.npm})
        commands = [f"`apt-get install {' '.join(debian)}`"] * bool(debian) + [
            f"`npm install --prefix .toolchains {' '.join(npm)}`"
        ] * bool(npm)
        tools = ", ".join(sorted(tool.name for tool in missing))
        raise UserError(
            f"programs in {names} need tools that are not installed: {tools}.",
            f"Run `make toolchains`, or {' and '.join(commands)}.",
        )
    return {toolchain.language: toolchain.text for toolchain in found}


def _version(tool: Tool) -> str | None:
    if not tool.version:
        return "present" if Path(tool.name).exists() else None
    if not shutil.which(tool.version[0]):
        return None
    done = subprocess.run(tool.version, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def _npm_version(tool: Tool) -> str | None:
    folder = npm_folder()
    description = folder / tool.package / "package.json" if folder else None
    if not description or not description.is_file():
        return None
    return str(json.loads(description.read_text(encoding="utf-8"))["version"])


def cache_folder() -> Path:
    """Where files that speed up later runs are kept: `harness` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"


def warm_folder(language: Language) -> Path | None:
    """The folder of a language's warm files, made at the first use; None for a language without."""
    if not language.warm:
        return None
    key = hashlib.sha256(find(language.name).text.encode())
    for source in (*language.warm_sources, Path(language.warm.__code__.co_filename)):
        key.update(source.read_bytes())
    folder = cache_folder() / "warm" / f"{language.name}-{key.hexdigest()[:16]}"
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.{os.getpid()}.new")
        making.mkdir(parents=True)
        try:
            language.warm(making, npm_folder())
            making.chmod(0o755)
            making.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process made it meanwhile
                raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder
