"""Plan and score all of MMLU (14,042 docs, 57 subjects, 5-shot) with a model that answers at once: us and lm-eval.

    python bench/plan_vs_lm_eval.py --data-root FOLDER [--rounds 2]

Each side runs in a process of its own, in turns, on the same mirror folder of hub-format data sets; the best round of
each counts. lm-eval runs its own evaluator with its ``dummy`` model; indexing its tasks is shown apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def ours(root: Path) -> dict[str, float]:
    start = time.perf_counter()
    from harness.backends.base import Capabilities, Generated, Response, Scored
    from harness.collect import Store, collect
    from harness.config import load
    from harness.plan import Request, Score, make_plan
    from harness.score.scorer import score_plan
    from harness.score.summary import summarise

    class Instant:
        """Answers at once, from a hash of the request."""

        capabilities = Capabilities(loglikelihood=True, generation=True)

        def fingerprint(self) -> str:
            return "instant"

        def price(self, prompt_tokens: int, completion_tokens: int) -> float:
            return 0.0

        def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
            for at in range(0, len(requests), 256):
                yield [(request, self.one(request)) for request in requests[at : at + 256]]

        def one(self, request: Request) -> Response:
            if isinstance(request, Score):
                values = tuple(
                    -float(int(request.hash[i * 4 : i * 4 + 4], 16)) for i in range(len(request.continuations))
                )
                return Scored(values, tuple(False for _ in values), 0)
            return Generated("", "stop", 0, 0)

    config = load(["benchmarks=[mmlu]", "mmlu.prompt=plain", "data=mirror", f"data.root={root}"])
    plan = make_plan(config.benchmarks, config.source, config.settings, strict=True, named=True)
    planned = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        collected = collect(plan.unique(), Instant(), store)  # type: ignore[arg-type]
    kept = time.perf_counter()
    summary = summarise(plan, score_plan(plan, collected.responses))
    end = time.perf_counter()
    return {
        "plan": planned - start,
        "collect": kept - planned,
        "score": end - kept,
        "total": end - start,
        "docs": summary["benchmarks"]["mmlu"]["n"],
    }


def theirs(root: Path) -> dict[str, float]:
    import datasets

    load_dataset = datasets.load_dataset
    datasets.load_dataset = lambda path, name=None, **_: load_dataset(str(root / path), name)
    start = time.perf_counter()
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    indexed = time.perf_counter()
    results = evaluator.simple_evaluate(
        model="dummy", tasks=["mmlu"], num_fewshot=5, task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    end = time.perf_counter()
    docs = sum(n["effective"] for name, n in results["n-samples"].items())
    return {"index": indexed - start, "plan and score": end - indexed, "total": end - start, "docs": docs}


def child(side: str, root: Path) -> None:
    measured: dict[str, Any] = ours(root) if side == "ours" else theirs(root)
    measured["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(measured))


def measure(side: str, root: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--data-root", str(root), "--side", side]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))


def help_seconds() -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "harness", "--help"], capture_output=True, check=True)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = options.data_root.resolve()
    if options.side:
        child(options.side, root)
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for side in ("ours", "theirs"):
            found = measure(side, root)
            if side not in best or found["total"] < best[side]["total"]:
                best[side] = found
    for side, found in best.items():
        print(f"{side:>7}: " + ", ".join(f"{key} {value:,.1f}" for key, value in found.items()))
    print(
        f"  ratio: {best['theirs']['total'] / best['ours']['total']:.1f} times faster with lm-eval's indexing, ", end=""
    )
    print(f"{best['theirs']['plan and score'] / best['ours']['total']:.1f} without")
    print(f"harness --help: {help_seconds():.2f} s")


if __name__ == "__main__":
    main()
