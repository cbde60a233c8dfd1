"""What handing work to Ray replicas costs: requests a second from plan to store, with an engine that answers at once.

    python bench/replicas.py [--replicas 2] [--requests 100000] [--rounds 3]

The requests are those of a lettered benchmark: 5 shots that 100 questions share, four choices. The time is that of the
collector: hashes, look-up in the store, portions, Ray, and every response written to SQLite; the start of Ray and of
the replicas is told apart. Beside it, the same with the same engine in this process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.backends.base import Backend
from harness.backends.replicas import RayOptions, ReplicaOptions, ReplicatedBackend
from harness.collect import Store, collect
from harness.plan import Request, Score
from tests.backends.replicas.engines import Instant

SHOTS = "Question: Which of these is it?\nA. one\nB. two\nC. three\nD. four\nAnswer: B\n\n" * 15
QUERY = "Question {}: which of the following statements is the right one, all things considered?\nAnswer:"


def requests_of(count: int, round_: int) -> list[Request]:
    return [Score(f"{round_}/{i // 100}\n{SHOTS}", QUERY.format(i), (" A", " B", " C", " D")) for i in range(count)]


def seconds(backend: Backend, requests: Sequence[Request]) -> float:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        began = time.perf_counter()
        found = collect(requests, backend, store)
        passed = time.perf_counter() - began
        assert found.totals.asked == len(requests)
        assert len(store.get(backend.fingerprint(), [r.hash for r in requests])) == len(requests)
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    replicated = ReplicatedBackend(Instant, ReplicaOptions(options.replicas, RayOptions(cpus=0.5)))
    started = seconds(replicated, requests_of(1000, -1))
    print(f"start of Ray and {options.replicas} replicas: {started:.1f} s", flush=True)
    for name, backend in (("here", Instant()), (f"{options.replicas} replicas", replicated)):
        best = min(seconds(backend, requests_of(options.requests, round_)) for round_ in range(options.rounds))
        print(f"{name}: {options.requests / best:,.0f} requests/s (best of {options.rounds})", flush=True)


if __name__ == "__main__":
    main()
