"""Time the scoring of published outputs: from a run folder to verdicts, scores and table.

    python bench/scoring.py [FILE …] [--rounds 3]

Without files: MMLU-Pro's 12,032 outputs of two models and GSM8K's 1,319, which lie beside the project in
../shared/data/published. Importing is timed as well; it scores a file once for each version of its authors' rules.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paths import project_root
from harness.replay.importing import import_files
from harness.run import rescore

PUBLISHED = project_root().parent / "shared" / "data" / "published"
FILES = ("mmlu_pro__Meta-Llama-3-70B", "mmlu_pro__Mixtral-8x7B-v0.1", "gsm8k__6b-finetuning", "gsm8k__6b-verification")


def seconds_since(began: float) -> float:
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = options.files or [PUBLISHED / f"{name}.jsonl.gz" for name in FILES]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        print(f"There is no {', '.join(missing)}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        print("| outputs | import, s | score, s (each round) |\n|---|---:|---:|")
        for file in files:
            began = time.perf_counter()
            run = import_files(
                [file], file.name.removesuffix(".gz").removesuffix(".jsonl"), overrides=[f"run.dir={temporary}"]
            )
            imported = seconds_since(began)
            rounds = []
            for _ in range(options.rounds):
                began = time.perf_counter()
                rescore(run)
                rounds.append(seconds_since(began))
            print(f"| {run.name} | {imported:.1f} | {', '.join(f'{each:.1f}' for each in rounds)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
