"""Our verdicts beside those that came with the outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.folder import read_receipt
from harness.plan.planner import BenchmarkPlan
from harness.replay.importing import PUBLISHED, prepared_again
from harness.score.extract import UNPARSED, Extracted
from harness.score.scorer import verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Agreement:
    """One benchmark, or a part of it."""

    name: str
    """The benchmark, or the subject, language or level."""
    n: int
    """Samples."""
    ours: float
    """Our score in percent."""
    theirs: float | None
    """The published verdicts' score in percent, or the published total where there are no verdicts."""
    compared: int
    """Samples with a published verdict that nothing speaks against."""
    agree: int
    """Of these, equal verdicts."""
    both: int
    """Right in both."""
    ours_only: int
    """Right here only."""
    theirs_only: int
    """Right there only."""
    neither: int
    """Wrong in both."""
    flagged: int
    """Samples whose published verdict is in doubt; they are in none of the counts above."""
    flagged_right: int
    """Of these, right here."""

    @property
    def share(self) -> float | None:
        """The share of equal verdicts; None where none was published."""
        return self.agree / self.compared if self.compared else None

    @property
    def ours_at_least(self) -> float:
        """Our score in percent with every sample in doubt counted wrong."""
        return self.ours - 100.0 * self.flagged_right / self.n


@dataclass(frozen=True)
class Agreements:
    """A benchmark of an imported run."""

    whole: Agreement
    """All of it."""
    parts: tuple[Agreement, ...]
    """By subject, language or level; none where there is only one."""
    rule: str
    """The protocol choices that judged it."""
    answers: tuple[int, int] | None
    """Samples in which the same answer was extracted, of those with a published one or none in either."""
    comparison: tuple[int, int] | None
    """Equal verdicts when the published extracted answer is compared by our rules, of those compared."""
    others: dict[str, float]
    """Our score by the task's other metrics, in percent."""
    differ: pd.DataFrame
    """The samples whose verdicts differ, the flagged ones among them."""


def of_run(folder: Path) -> list[Agreements]:
    """Every benchmark of an imported run.

    Raises:
        UserError: the run brought no verdicts.
    """
    import pandas as pd

    receipt = read_receipt(folder)
    if "imported" not in receipt or not (folder / PUBLISHED).is_file():
        raise UserError(
            f"{folder} was not imported, so there are no published verdicts.", "Give a run that harness import made."
        )
    published = pd.read_parquet(folder / PUBLISHED).astype({"extracted": object, "flag": object})
    published = published.where(published.notna(), None)
    ours = pd.concat(pd.read_parquet(file) for file in sorted((folder / "samples").glob("*.parquet")))
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    plan = prepared_again(folder, receipt).plan
    files = {each["file"]: each["published"] for each in receipt["imported"]["files"]}
    found = []
    for bench in plan.benchmarks:
        name = bench.benchmark.name
        theirs = published[published["benchmark"] == name]
        joined = theirs.merge(ours, on=["task", "doc_id"], how="left", suffixes=("_published", ""), validate="1:1")
        about = files[receipt["imported"]["from"][name]]
        compares = name in receipt["imported"]["comparison"]
        found.append(_agreements(bench, joined, scores["benchmarks"], about, compares))
    return found


def _agreements(
    bench: BenchmarkPlan, joined: pd.DataFrame, scores: dict[str, Any], about: dict[str, Any], compares: bool
) -> Agreements:
    spec = bench.benchmark
    stated = about.get("per_task") or {}
    parts = [_agreement(str(name), rows, stated.get(str(name))) for name, rows in joined.groupby("part", sort=True)]
    whole = _agreement(spec.title, joined, None)
    score = next(entry for title, entry in scores.items() if title.split(" (")[0] == spec.name)
    theirs = whole.theirs
    if spec.average == "macro" and len(parts) > 1:
        known = [part.theirs for part in parts if part.theirs is not None]
        theirs = sum(known) / len(known) if known else None
    unit = 100.0 if score["unit"] == "share" else 1.0
    whole = Agreement(**{**vars(whole), "ours": score["value"] * unit, "theirs": theirs})
    metrics = [c for c in joined.columns if c in (spec.metric, *_metrics(bench)) and c != spec.metric]
    others = {metric: 100 * float(joined[metric].mean()) for metric in metrics}
    differ = joined[(joined["score"] >= 0.5) != (joined["verdict"] >= 0.5)]
    differ = differ[differ["verdict"].notna()]
    rule = ", ".join(f"{key}={value}" for key, value in spec.options.items())
    texts = bool(joined["extracted_published"].notna().any()) and not bench.languages
    return Agreements(
        whole,
        tuple(parts) if len(parts) > 1 else (),
        rule,
        _same_answers(joined) if texts else None,
        _compared(bench, joined) if compares else None,
        others,
        differ,
    )


def _metrics(bench: BenchmarkPlan) -> list[str]:
    return [str(metric["metric"]) for metric in bench.tasks[0].task.config.metric_list or []]


def _agreement(name: str, rows: pd.DataFrame, stated: dict[str, Any] | None) -> Agreement:
    judged = rows[rows["verdict"].notna()]
    fair = judged[judged["flag"].isna()]
    doubted = rows[rows["flag"].notna()]
    mine, yours = fair["score"] >= 0.5, fair["verdict"] >= 0.5
    theirs = 100 * float(judged["verdict"].mean()) if len(judged) else None
    if theirs is None and stated:
        theirs = stated.get("published", stated.get("pass@1"))
    return Agreement(
        name,
        len(rows),
        100 * float(rows["score"].mean()),
        theirs,
        len(fair),
        int((mine == yours).sum()),
        int((mine & yours).sum()),
        int((mine & ~yours).sum()),
        int((~mine & yours).sum()),
        int((~mine & ~yours).sum()),
        len(doubted),
        int((doubted["score"] >= 0.5).sum()),
    )


def _same_answers(joined: pd.DataFrame) -> tuple[int, int]:
    theirs = joined["extracted_published"].fillna(UNPARSED).str.strip()
    return int((theirs == joined["extracted"]).sum()), len(joined)


def _compared(bench: BenchmarkPlan, joined: pd.DataFrame) -> tuple[int, int]:
    """Our comparison on their answers."""
    fair = joined[joined["verdict"].notna() & joined["flag"].isna()]
    rows = {(row["task"], row["doc_id"]): row for row in fair.to_dict("records")}
    return sum(_comparisons(bench, rows)), len(fair)


def _comparisons(bench: BenchmarkPlan, rows: dict[tuple[str, str], dict[Any, Any]]) -> Iterator[bool]:
    for task in bench.tasks:
        for doc in task.docs:
            row = rows.get((task.name, doc.doc_id))
            if row is None:
                continue
            text = row["extracted_published"]
            given = Extracted(UNPARSED) if text is None else Extracted(text, "published", text)
            _, worth = verdict(task.task, doc.doc, [given])
            metric = bench.benchmark.metric or next(iter(worth))
            yield bool((worth[metric] >= 0.5) == (row["verdict"] >= 0.5))
