"""The published outputs beside the project, judged here: agreement with the published verdicts.

Tests judge a fixed sample of programs; `make verify` takes all of them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.score.execution import Program, Verdict, evalplus, execute, multipl_e

SHARED = Path(__file__).parents[4] / "shared" / "data"
MODEL = "qwen2.5-coder-1.5b-base"
LANGUAGES = ("cpp", "cs", "java", "js", "php", "sh", "ts")
Row = dict[str, Any]


@dataclass(frozen=True)
class Agreement:
    """How many verdicts of a set agree with the published ones."""

    name: str
    agree: int
    of: int
    least: float
    """The share that is promised."""
    differ: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.agree >= self.least * self.of


def rows(name: str) -> list[Row]:
    with gzip.open(SHARED / "published" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def problems(benchmark: str, *, sets: bool = False) -> dict[str, evalplus.Problem]:
    """The problems; the published verdicts compare all answers as they are, today's EvalPlus some as ``sets``."""
    if benchmark == "humaneval":
        file = SHARED / "hub" / "evalplus" / "humanevalplus" / "raw" / "test-00000-of-00001.parquet"
        found = pd.read_parquet(file).to_dict("records")
        return {str(row["task_id"]): evalplus.problem({str(k): v for k, v in row.items()}) for row in found}
    with gzip.open(SHARED / "hub" / "evalplus" / "MbppPlus-v0.1.0.jsonl.gz", "rt", encoding="utf-8") as release:
        return {(row := json.loads(line))["task_id"]: evalplus.problem(row, sets=sets) for line in release}


def compare(
    name: str, chosen: Sequence[Row], published: Sequence[bool], verdicts: Sequence[Verdict], least: float
) -> Agreement:
    differ = tuple(
        f"{row['doc_id']}: published {want}, here {verdict.status} ({verdict.detail})"
        for row, want, verdict in zip(chosen, published, verdicts, strict=True)
        if want != verdict.passed
    )
    return Agreement(name, len(chosen) - len(differ), len(chosen), least, differ)


def check_evalplus(benchmark: str, chosen: Sequence[Row], cache: Path | None = None) -> list[Agreement]:
    verdicts = evalplus.evaluate(problems(benchmark), [(row["doc_id"], row["program"]) for row in chosen], cache=cache)
    least = {"humaneval": (1.0, 0.99), "mbpp": (0.995, 0.99)}[benchmark]
    base = compare(benchmark, chosen, [r["base"] for r in chosen], [v.base for v in verdicts], least[0])
    plus = compare(f"{benchmark}+", chosen, [r["plus"] for r in chosen], [v.plus for v in verdicts], least[1])
    return [base, plus]


def program(row: Row) -> Program:
    return multipl_e.base_program(row["task"], row["prompt"], row["output"], row["tests"], row["stop_tokens"])


def check_multipl_e(chosen: Sequence[Row]) -> Agreement:
    """Rows whose published failure is put down to the publisher's machine are left out."""
    fair = [row for row in chosen if row["environment_suspected"] is None]
    verdicts = execute([program(row) for row in fair])
    return compare("MultiPL-E", fair, [row["correct"] for row in fair], verdicts, 0.985)
