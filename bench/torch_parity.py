"""The torch backend against lm-eval's own HFLM: the same requests, the same weights, float32.

    python bench/torch_parity.py --data-root FOLDER [--docs 200] [--batch-size 8]

Prints, per benchmark, the largest difference of log-likelihoods, how often the chosen answers and the greedy flags
agree, and how many greedy texts are identical. MMLU 1-shot, HellaSwag 0-shot and GSM8K 1-shot (64 new tokens).
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from harness.backends import Scored
from harness.backends.torch import TorchBackend, TorchOptions
from harness.plan import Benchmark, Generate, Score, Settings, Source, make_plan

BENCHMARKS = (
    Benchmark("mmlu", "MMLU", ("mmlu_question",), 1, "acc", None),
    Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 0, "acc_norm", None),
    Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 1, "exact_match", "flexible"),
)


@dataclass(frozen=True)
class Agreement:
    """Ours beside HFLM's on one benchmark."""

    benchmark: str
    """Its name."""
    requests: int
    """Requests compared."""
    largest: float
    """The largest difference of a log-likelihood, in nats; 0 for texts."""
    same: float
    """Share of requests with the same chosen answer and greedy flags, or the same text."""


def compare(source: Source, docs: int, max_tokens: int = 64, batch_size: int = 8) -> list[Agreement]:
    """Answer the same requests by both, with the embedded model; HFLM in batches of a size."""
    from lm_eval.models.huggingface import HFLM

    backend = TorchBackend(TorchOptions(dtype="float32"))
    backend.check()
    settings = Settings(limit=docs, generation={"max_tokens": max_tokens})
    plan = make_plan(BENCHMARKS, source, settings, strict=True, named=True)
    theirs = HFLM(pretrained=backend._model, tokenizer=backend.tokenizer().inner, batch_size=batch_size)
    found = []
    for bench in plan.benchmarks:
        requests = list({request.hash: request for request in bench.requests}.values())
        ours = {request.hash: answer for batch in backend.answer(requests) for request, answer in batch}
        scores = [r for r in requests if isinstance(r, Score)]
        texts = [r for r in requests if isinstance(r, Generate)]
        found.append(
            _scores(bench.benchmark.name, scores, ours, theirs)
            if scores
            else _texts(bench.benchmark.name, texts, ours, theirs)
        )
    return found


def _scores(name: str, requests: list[Score], ours: dict[str, Any], theirs: Any) -> Agreement:
    from lm_eval.api.instance import Instance

    instances = [
        Instance("loglikelihood", {}, (request.context, text), i)
        for request in requests
        for i, text in enumerate(request.continuations)
    ]
    answers = iter(theirs.loglikelihood(instances, disable_tqdm=True))
    largest, same = 0.0, 0
    for request in requests:
        mine = ours[request.hash]
        assert isinstance(mine, Scored)
        values, greedy = zip(*(next(answers) for _ in request.continuations), strict=True)
        largest = max(largest, float(np.abs(np.array(mine.logprobs) - np.array(values)).max()))
        same += int(np.argmax(mine.logprobs)) == int(np.argmax(values)) and mine.greedy == tuple(greedy)
    return Agreement(name, len(requests), largest, same / len(requests))


def _texts(name: str, requests: list[Generate], ours: dict[str, Any], theirs: Any) -> Agreement:
    from lm_eval.api.instance import Instance

    instances = [
        Instance(
            "generate_until",
            {},
            (r.context, {"until": list(r.stop), "max_gen_toks": r.max_tokens, "do_sample": False}),
            0,
        )
        for r in requests
    ]
    texts = theirs.generate_until(instances, disable_tqdm=True)
    same = sum(ours[r.hash].text == text for r, text in zip(requests, texts, strict=True))
    return Agreement(name, len(requests), 0.0, same / len(requests))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--docs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8, help="of HFLM; 1 asks one by one")
    options = parser.parse_args()
    for row in compare(Source("mirror", options.data_root), options.docs, batch_size=options.batch_size):
        print(f"{row.benchmark:<10} {row.requests} requests, largest difference {row.largest:.1e}, same {row.same:.1%}")


if __name__ == "__main__":
    main()
