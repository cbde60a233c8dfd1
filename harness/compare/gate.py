"""A gate for checkpoints: floors, a baseline, and everything that was meant to be measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.compare import protocol
from harness.compare.compare import compare_row
from harness.compare.rows import read_row
from harness.compare.runs import Run, open_runs
from harness.errors import UserError
from harness.nearest import did_you_mean

MARGIN = 1.0  # points below the baseline that are let through
Status = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Check:
    """One thing that was judged."""

    row: str
    """The benchmark, by name; ``run`` for the run as a whole."""
    rule: str
    """What was asked of it."""
    status: Status
    """``undecided``: the interval holds both answers."""
    reason: str
    """One line: the figures, and what is wrong with them."""


@dataclass(frozen=True)
class Gate:
    """All checks of a run."""

    run: str
    """The run that was judged."""
    baseline: str | None
    """What it was held against."""
    checks: tuple[Check, ...]
    """In the order of the rows."""
    lenient: bool
    """Whether undecided checks are let through."""

    @property
    def failures(self) -> tuple[Check, ...]:
        """Checks that close the gate."""
        return tuple(c for c in self.checks if c.status == "fail" or (c.status == "undecided" and not self.lenient))

    @property
    def open(self) -> bool:
        """Whether the run passes."""
        return not self.failures


def judge(
    folder: Path,
    baseline: Path | None = None,
    *,
    floors: Mapping[str, float] | None = None,
    margins: Mapping[str, float] | None = None,
    margin: float = MARGIN,
    lenient: bool = False,
) -> Gate:
    """Judge a run.

    Args:
        folder: the run; one that did not finish fails.
        baseline: a run that it must be no worse than by more than a margin, on each of the baseline's rows.
        floors: the least value of a row, in points.
        margins: the margin of a row where it is not ``margin``, in points.
        margin: of all other rows.
        lenient: let through what the docs cannot decide.

    Raises:
        UserError: a folder is no run, or a margin names no row of the baseline.
    """
    broken = _broken(folder)
    if broken is not None:
        return Gate(folder.resolve().name, baseline.resolve().name if baseline else None, (broken,), lenient)
    runs = open_runs([folder, *([baseline] if baseline else [])])
    run, base = runs[0], runs[1] if baseline else None
    for name in margins or {}:
        if base is None or _find(base, name) is None:
            known = list(base.rows) if base else []
            raise UserError(f"--margin {name}: the baseline has no such row.", did_you_mean(name, known))
    checks = [*_whole(run), *_floors(run, floors or {})]
    if base is not None:
        own = {_find(base, name): value for name, value in (margins or {}).items()}
        checks += [_no_worse(base, run, row, own.get(row, margin)) for row in base.rows]
    return Gate(run.name, base.name if base else None, tuple(checks), lenient)


def _broken(folder: Path) -> Check | None:
    """A run that never got as far as its scores is a failure, not a mistake of the command's user."""
    receipt = folder / "receipt.json"
    if receipt.is_file() and not (folder / "scores.json").is_file():
        status = json.loads(receipt.read_text(encoding="utf-8")).get("status", "unknown")
        return Check("run", "is finished", "fail", f"the run has no scores: its status is {status}")
    return None


def _whole(run: Run) -> Iterator[Check]:
    """The run as such: finished, nothing left out, every value a number."""
    status = run.receipt.get("status", "complete")
    if status == "complete":
        yield Check("run", "is finished", "pass", f"{len(run.rows)} rows were measured")
    else:
        yield Check("run", "is finished", "fail", f"its status is {status}: the scores may be an earlier run's")
    for name, why in run.scores.get("skipped", {}).items():
        yield Check(name, "is measured", "fail", f"it was not measured: {' '.join(str(why).split())}")
    for name, entry in run.rows.items():
        if not _number(entry["value"]) or entry["n"] < 1:
            yield Check(name, "is measured", "fail", f"its value is {entry['value']} over {entry['n']} docs")
        if entry.get("failed"):
            yield Check(name, "has its answers", "fail", f"{entry['failed']} docs have no answer and are left out")


def _floors(run: Run, floors: Mapping[str, float]) -> Iterator[Check]:
    for name, least in floors.items():
        row, rule = _find(run, name), f"at least {least:g}"
        if row is None:
            near = did_you_mean(name, run.rows) if run.rows else ""
            yield Check(name, rule, "fail", f"the run has no such row. {near}".strip())
            continue
        entry = run.rows[row]
        value = _points(entry, entry["value"])
        error = entry.get("stderr")
        shown = (
            f"{value:.2f}" + ("" if error is None else f" ± {_points(entry, error):.2f}") + f" over {entry['n']:,} docs"
        )
        # not (value < least), so that a value that is no number fails
        passed = value >= least
        yield Check(row, rule, "pass" if passed else "fail", shown if passed else f"{shown} is below {least:g}")


def _no_worse(base: Run, run: Run, row: str, margin: float) -> Check:
    """By the paired interval: its lower end decides, never the point."""
    rule = f"no worse than {base.name} by more than {margin:g}"
    if row not in run.rows:
        why = run.scores.get("skipped", {}).get(row)
        return Check(row, rule, "fail", "it was not measured" + (f": {why}" if why else ""))
    differs = protocol.differences(base, run, row)
    if differs:
        more = f" (and {len(differs) - 2} more)" if len(differs) > 2 else ""
        return Check(row, rule, "fail", f"measured by another protocol: {'; '.join(differs[:2])}{more}")
    found = compare_row(base, run, row, read_row([base, run], row), margin)
    if found is None:
        return Check(row, rule, "fail", "the two runs share no doc")
    if found.low is None or found.high is None:
        return Check(row, rule, "undecided", f"{found.n} docs are too few for an interval")
    shown = f"{found.difference:+.2f} ({found.low:+.2f} to {found.high:+.2f}) on {found.n:,} docs"
    if found.low >= -margin:
        return Check(row, rule, "pass", shown)
    if found.high < -margin:
        return Check(row, rule, "fail", f"{shown}: worse by more than {margin:g}")
    return Check(row, rule, "undecided", f"{shown}: the interval holds {-margin:g}{_enough(found, margin)}")


def _enough(found: Any, margin: float) -> str:
    """How many docs would decide, if the difference stays what it is."""
    distance = abs(found.difference + margin)
    half = (found.high - found.low) / 2
    docs = found.n * (half / distance) ** 2 if distance > 0 else math.inf
    return f"; about {math.ceil(docs):,} docs would decide" if docs < 1e7 else ""


def _find(run: Run, name: str) -> str | None:
    """A row by its name, or by its title."""
    if name in run.rows:
        return name
    return next((row for row, entry in run.rows.items() if entry["title"].lower() == name.lower()), None)


def _points(entry: Mapping[str, Any], value: float) -> float:
    return value * (100.0 if entry["unit"] == "share" else 1.0)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, float]:
    """``name=number`` texts of an option.

    Raises:
        UserError: a text is none.
    """
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise UserError(f"{option} {text}, which is no name=number.", f"Write for example {option} mmlu=60.")
        found[name] = value
    return found
