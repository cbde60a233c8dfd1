"""What there is to choose from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.paths import conf_dir


def listing(what: str) -> Iterator[str]:
    """Lines for ``harness list``."""
    if what == "benchmarks":
        yield from _benchmarks()
    elif what == "tasks":
        from harness.plan import library

        yield from sorted({**library.library_index(), **library.own_index()})
    elif what == "suites":
        yield from _suites()
    elif what == "toolchains":
        yield from _toolchains()
    else:
        yield from sorted(file.stem for file in (conf_dir() / "backend").glob("*.yaml"))


def _benchmarks() -> Iterator[str]:
    import yaml

    for file in sorted((conf_dir() / "benchmark").glob("*.yaml")):
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        chosen = "  ".join(f"{file.stem}.{key}={'|'.join(map(str, v))}" for key, v in spec.get("choices", {}).items())
        if "members" in spec:
            protocol = f"mean of {', '.join(spec['members'])}"
        else:
            shots = "own" if spec["shots"] is None else spec["shots"]
            metric = _default(spec, spec["metric"]) or "the task's own metric"
            protocol = f"{shots}-shot  {metric}, {_default(spec, spec['average'])}"
        yield f"{file.stem:<20} {spec['title']:<20} {protocol}  {chosen}".rstrip()


def _default(spec: dict[str, Any], value: str | None) -> str:
    """A value with the choices that it refers to (``${row.choice}``) as they are by default."""
    return re.sub(r"\$\{\w+\.(\w+)\}", lambda reference: str(spec[reference[1]]), value or "")


def _suites() -> Iterator[str]:
    import yaml

    for file in sorted((conf_dir() / "suite").glob("*.yaml")):
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        yield f"{file.stem:<16} {' '.join(spec['benchmarks'])}"


def _toolchains() -> Iterator[str]:
    from harness.score.execution import toolchains

    for name, tool in toolchains.probe().items():
        missing = ", ".join(f"{lack.name} (package {lack.package})" for lack in tool.missing)
        yield f"{name:<8} {f'missing: {missing}' if missing else tool.text}"
