"""A benchmark is one row of a table: tasks, shots, metric and average; or a mean of other benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Benchmark:
    """One row: what is asked, and how the answers become one number."""

    name: str
    """The name in configs and on the command line (``mmlu``)."""
    title: str
    """The name in tables (``MMLU``), equal to the published row's where there is one."""
    tasks: tuple[str, ...]
    """lm-eval task, group or tag names whose leaves are this benchmark's tasks."""
    shots: int | None
    """Few-shot docs before each question; None leaves each task's own number."""
    metric: str | None
    """The metric that fills the row; None takes each task's first."""
    filter: str | None
    """The lm-eval filter whose output is scored; None takes the task's first."""
    average: str = "micro"
    """``micro``: every doc counts the same; ``macro``: every task does."""
    options: dict[str, Any] = field(default_factory=dict)
    """Protocol choices of this benchmark, by name; they appear in the receipt."""
    protocol_shots: int | None = None
    """The shots of the published protocol, where the row has one number of them."""
    from_table: bool = True
    """False for an lm-eval task that was named directly and has no row of its own in the published table."""


@dataclass(frozen=True)
class Composite:
    """A row made of members: benchmarks of their own, whose figures become one."""

    name: str
    """The name in configs and on the command line (``evalplus``)."""
    title: str
    """The name in tables."""
    members: tuple[str, ...]
    """The benchmarks that it is made of, by name."""
    average: str = "members"
    """``members``: the mean of the members' figures; ``languages``: of the languages', each the mean over members."""
    options: dict[str, Any] = field(default_factory=dict)
    """Protocol choices of the row itself; they appear in the receipt."""
