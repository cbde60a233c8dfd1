"""Time and memory of harness compare on runs as large as they get.

    python bench/compare.py [--runs 10] [--samples 100000]

Half of the samples have 0/1 scores, half have scores between; prompts and answers are as long as real ones.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.compare import compare
from tests.compare.support import Row, Task, write_run

ROWS, TASKS = 20, 10
TEXT = "So the answer follows from the second statement, and not from the first. " * 8


def make(folder: Path, samples: int, number: int, right: np.ndarray) -> Path:
    rng = np.random.default_rng(number)
    each = samples // (ROWS * TASKS)
    rows = {}
    for row in range(ROWS):
        tasks = {}
        for task in range(TASKS):
            own = right[(row * TASKS + task) * each :][:each] + rng.normal(0, 0.1, each)
            scores = (own > 0.4).astype(float) if row % 2 else np.clip(own, 0, 1)
            tasks[f"r{row}_t{task}"] = Task(scores.tolist(), raw=[f"{TEXT}{i}" for i in range(each)])
        rows[f"r{row}"] = Row(tasks, "macro" if row % 3 == 0 else "micro")
    return write_run(folder, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--samples", type=int, default=100_000)
    options = parser.parse_args()
    right = np.random.default_rng(0).random(options.samples)
    with tempfile.TemporaryDirectory() as folder:
        runs = [make(Path(folder) / f"run{i}", options.samples, i, right) for i in range(options.runs)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        found = compare(runs)
        seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(len(pair.rows) for pair in found.pairs)
    print(f"{options.runs} runs x {options.samples:,} samples, {rows} differences: {seconds:.1f} s")
    print(f"peak memory {after / 2**20:.2f} GiB ({before / 2**20:.2f} GiB before, with the making of the runs)")


if __name__ == "__main__":
    main()
