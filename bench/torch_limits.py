"""Does the torch backend keep what it promises: prompt tokens computed as the plan foretold, memory within its limit?

    python bench/torch_limits.py benchmarks=[mmlu_pro,bbh,math] limit=100 data=mirror data.root=FOLDER \
        generation.max_tokens=8 [backend.kv_memory=0.5] [any other key=value of harness eval]

For each benchmark: its prompt tokens, those that were computed, those that ``harness plan`` foretells, and the most
memory beside the weights. Ends with an error if more tokens were computed than foretold (or fewer for texts; the plan
counts the last token of an answer that is scored, after which nothing is read), or if memory went more than one GB over
``backend.kv_memory``. Every benchmark is answered afresh; nothing is stored.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.torch_vs_lm_eval import forget_peak, resident
from harness.backends.torch import TorchBackend
from harness.config import load
from harness.estimate import estimate
from harness.plan import Generate
from harness.prepare import prepare

BESIDE = 1.0  # GB that a pass itself may take


def main() -> int:
    prepared = prepare(load(sys.argv[1:]))
    backend = prepared.backend
    assert isinstance(backend, TorchBackend)
    backend.check()
    foretold = {row.name: row.distinct_tokens for row in estimate(prepared.plan, backend, Path("nowhere"))}
    backend.way  # noqa: B018 - loads the model
    # once: what an earlier benchmark left in this process is not the weights
    held = resident("VmRSS")
    wrong = 0
    for part in prepared.plan.benchmarks:
        requests = list({request.hash: request for request in part.requests}.values())
        before = backend.took()
        forget_peak()
        began = time.perf_counter()
        count = sum(len(batch) for batch in backend.answer(requests))
        after = backend.took()
        computed, prompt, new = (
            after[key] - before.get(key, 0) for key in ("computed_tokens", "prompt_tokens", "new_tokens")
        )
        name, beside = part.benchmark.name, resident("VmHWM") - held
        kv = backend.options.kv_memory
        texts = all(isinstance(request, Generate) for request in requests)
        wrong += computed > foretold[name] or (texts and computed < foretold[name])
        wrong += kv is not None and beside > kv + BESIDE
        print(
            f"{name}: {count} requests in {time.perf_counter() - began:.0f} s; {computed:,} of {prompt:,} prompt "
            f"tokens computed ({computed / prompt:.2%}), foretold {foretold[name]:,}; {new:,} new tokens; "
            f"{beside:.2f} GB at most beside the weights" + (f", allowed {kv + BESIDE:g}" if kv is not None else ""),
            flush=True,
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
