"""Every published output beside the project, imported and scored: agreement with the publishers' verdicts.

`python -m tests.replay.verify` takes all files and fails below the agreement that is promised; with `--write` it puts
the tables into docs/verification.md. Tests take a fixed sample.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.folder import read_receipt
from harness.paths import project_root
from harness.replay import agreement, agreement_table
from harness.replay.agreement import Agreements
from harness.replay.importing import import_files
from tests.replay import verification
from tests.replay.verification import Verified

SHARED = project_root().parent / "shared" / "data"


@dataclass(frozen=True)
class Promise:
    """What is promised of a benchmark's verdicts."""

    verdicts: float = 0.0
    """The least share of equal verdicts."""
    answers: float = 0.0
    """The least share of equal extracted answers."""
    comparison: float = 0.0
    """The least share of equal verdicts on the publisher's extracted answers."""
    points: float | None = None
    """The most points between our score and the published one, for each part; what is in doubt counts as it came out.
    None asks nothing."""


EXACT = Promise(verdicts=1.0, points=0.005)
PROMISES = {
    "MMLU-Pro": Promise(verdicts=0.999, answers=0.999, points=0.005),
    "BBH": EXACT,
    "GSM8K": EXACT,
    "MATH": Promise(verdicts=0.995),
    "TheoremQA": Promise(comparison=0.99),
    "HumanEval": Promise(verdicts=1.0),
    "HumanEval+": Promise(verdicts=0.99),
    "MBPP": Promise(verdicts=0.995),
    "MBPP+": Promise(verdicts=0.99),
    "MultiPL-E": Promise(verdicts=0.985),
}
CHAT = Promise(points=1.0)
BETTER = {"php"}
"""Parts whose published figure a sound extractor beats (docs/verification.md): ours may be higher, not lower."""


def broken(found: Agreements) -> list[str]:
    """Promises that are not kept."""
    whole = found.whole
    promise = CHAT if not whole.compared else PROMISES[whole.name]
    told = []
    if whole.share is not None and whole.share < promise.verdicts:
        told.append(f"{whole.name}: {whole.share:.2%} of verdicts agree, promised {promise.verdicts:.1%}")
    for what, least, counts in (
        ("answers", promise.answers, found.answers),
        ("comparisons", promise.comparison, found.comparison),
    ):
        if least and counts is not None and counts[0] < least * counts[1]:
            told.append(f"{whole.name}: {counts[0]} of {counts[1]} {what} agree, promised {least:.1%}")
    for part in (*found.parts, *(() if found.parts else (whole,))):
        if promise.points is None or part.theirs is None:
            continue
        away = part.ours - part.theirs
        if abs(away) > promise.points and not (part.name in BETTER and away > 0):
            told.append(f"{whole.name}, {part.name}: {part.ours:.2f}, published {part.theirs:.2f}")
    return told


def scored(path: Path, folder: Path, data_root: Path | None) -> Verified:
    """A published file, imported and compared."""
    # EvalPlus' HumanEval files leave the inputs out, and only the data set has them
    joined = data_root if path.name.startswith("evalplus_humaneval") else None
    run = import_files([path], path.name.split(".jsonl")[0], data_root=joined, overrides=[f"run.dir={folder}"])
    receipt = read_receipt(run)
    (origin,) = receipt["imported"]["files"]
    return Verified(
        run.name,
        receipt["model"]["model"],
        origin["published"].get("published_by_source"),
        tuple(receipt["imported"]["rules"]),
        tuple(agreement.of_run(run)),
    )


def main(arguments: Iterable[str] | None = None) -> int:
    """Score everything and report; 1 where less agrees than is promised, 2 where there is nothing to score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="instead of all of ../shared/data/published")
    parser.add_argument("--data-root", type=Path, default=SHARED / "hub")
    parser.add_argument("--runs", type=Path, help="where the runs stay; none keeps them")
    parser.add_argument("--samples", action="store_true", help="list the samples whose verdicts differ")
    parser.add_argument("--write", type=Path, metavar="DOC", help="put the tables into this file")
    options = parser.parse_args(None if arguments is None else list(arguments))
    files = options.files or sorted((SHARED / "published").glob("*.jsonl.gz"))
    if not files:
        # nothing verified is nothing kept
        print(f"There are no published outputs in {SHARED / 'published'}; name the files to verify.", file=sys.stderr)
        return 2
    data_root = options.data_root if options.data_root.is_dir() else None
    told: list[str] = []
    verified: list[Verified] = []
    with tempfile.TemporaryDirectory() as temporary:
        for path in files:
            began = time.monotonic()
            try:
                verified.append(scored(path, options.runs or Path(temporary), data_root))
            except UserError as error:
                print(f"\n## {path.name}\n\nnot imported: {error.problem}")
                told += [] if "has no benchmark here" in error.problem else [str(error)]
                continue
            found = verified[-1].found
            print(
                f"\n## {path.name}\n\n{agreement_table.render(found, 'md')}\n\n{time.monotonic() - began:.0f} s",
                flush=True,
            )
            if options.samples:
                print(agreement_table.samples(found))
            told += [f"{path.name}: {line}" for each in found for line in broken(each)]
    if options.write is not None:
        verification.write(options.write, verified)
    print("\n" + ("\n".join(told) if told else "Every promise is kept."))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
