"""The vLLM backend beside the torch backend: the same requests, the same weights, float32; every difference is listed.

    .venv-vllm/bin/python bench/vllm_agreement.py --data-root FOLDER [--docs 200] [--rows mmlu,hellaswag,gsm8k]
                                                  [--new-tokens 128] [--model embedded] [--differences FILE]

For each row: how often the likeliest choices agree (aim 99.5 %), the largest difference of a log-likelihood by its
tokens (aim 0.01), or how many greedy texts are equal (aim 97 %). MMLU 5-shot of three subjects, HellaSwag 10-shot,
GSM8K 4-shot.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from harness.backends import make_backend
from harness.backends.base import Backend, Generated, Response, Scored
from harness.plan import Benchmark, Request, Score, Settings, Source, make_plan
from harness.plan.tokens import Encoded

BENCHMARKS = {
    "mmlu": Benchmark("mmlu", "MMLU", ("mmlu_question",), 5, "acc", None),
    "hellaswag": Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 10, "acc_norm", None),
    "gsm8k": Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible"),
}
SUBJECTS = 3
LIST = 1e-3  # nats a token: differences from here on are listed


@dataclass(frozen=True)
class Difference:
    """One request that the two answer differently."""

    row: str
    """The benchmark."""
    query: str
    """The end of the question."""
    what: str
    """``choice``, ``greedy``, ``logprob`` or ``text``."""
    torch: Any
    """The torch backend's answer."""
    vllm: Any
    """The vLLM backend's answer."""


def requests_of(name: str, source: Source, docs: int, new_tokens: int) -> list[Request]:
    """So many docs of a row; of MMLU from few subjects, since prompts of one subject share their shots."""
    few = name == "mmlu"
    settings = Settings(limit=docs * 57 // SUBJECTS if few else docs, generation={"max_tokens": new_tokens})
    plan = make_plan((BENCHMARKS[name],), source, settings, strict=True, named=True)
    tasks = plan.benchmarks[0].tasks[: SUBJECTS if few else None]
    return list({r.hash: r for task in tasks for doc in task.docs for r in doc.requests}.values())[:docs]


def answers(backend: Backend, requests: Sequence[Request]) -> tuple[dict[str, Response], float]:
    """All responses, and the seconds they took."""
    began = time.perf_counter()
    found = {request.hash: answer for batch in backend.answer(requests) for request, answer in batch}
    return found, time.perf_counter() - began


def differences(
    row: str, requests: Sequence[Request], encoded: Sequence[Encoded], torch: dict[str, Any], vllm: dict[str, Any]
) -> Iterator[Difference]:
    """Every request with another choice, another greedy flag, another text, or log-likelihoods apart by ``LIST``."""
    for request, ids in zip(requests, encoded, strict=True):
        a, b = torch[request.hash], vllm[request.hash]
        query = request.query[-80:]
        if isinstance(a, Generated):
            if a.text != b.text:
                yield Difference(row, query, "text", a.text, b.text)
            continue
        assert isinstance(a, Scored)
        if int(np.argmax(a.logprobs)) != int(np.argmax(b.logprobs)):
            yield Difference(row, query, "choice", a.logprobs, b.logprobs)
        if a.greedy != b.greedy:
            yield Difference(row, query, "greedy", a.greedy, b.greedy)
        if max(apart(a, b, ids)) >= LIST:
            yield Difference(row, query, "logprob", a.logprobs, b.logprobs)


def apart(a: Scored, b: Scored, ids: Encoded) -> list[float]:
    """Differences of the log-likelihoods, each by its tokens."""
    return [abs(x - y) / len(c) for x, y, c in zip(a.logprobs, b.logprobs, ids.continuations, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--docs", type=int, default=200)
    parser.add_argument("--rows", default=",".join(BENCHMARKS))
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--scoring", default="auto")
    parser.add_argument("--differences", type=Path)
    options = parser.parse_args()
    engine = {"max_model_len": 4096, "enforce_eager": True}
    vllm = make_backend(
        "vllm", {"model": options.model, "dtype": "float32", "scoring": options.scoring, "engine": engine}
    )
    torch = make_backend("torch", {"model": options.model, "dtype": "float32"})
    tokenizer = torch.tokenizer()
    assert tokenizer is not None
    listed: list[Difference] = []
    for name in options.rows.split(","):
        requests = requests_of(name, Source("mirror", options.data_root), options.docs, options.new_tokens)
        theirs, slow = answers(torch, requests)
        ours, fast = answers(vllm, requests)
        encoded = tokenizer.encode(requests)
        found = list(differences(name, requests, encoded, theirs, ours))
        listed += found
        if isinstance(requests[0], Score):
            choices = sum(d.what == "choice" for d in found)
            worst = max(max(apart(theirs[r.hash], ours[r.hash], e)) for r, e in zip(requests, encoded, strict=True))  # type: ignore[arg-type]
            line = f"choices agree on {1 - choices / len(requests):.1%}, largest difference {worst:.1e} nats a token"
            line += f", greedy flags on {1 - sum(d.what == 'greedy' for d in found) / len(requests):.1%}"
        else:
            line = f"texts equal: {1 - len(found) / len(requests):.1%}"
        print(f"{name}: {len(requests)} requests: {line} (torch {slow:.0f} s, vLLM {fast:.0f} s)", flush=True)
        for difference in found[:5]:
            print(f"  {difference.what}: …{difference.query!r}")
            print(f"    torch {difference.torch!r}\n    vLLM  {difference.vllm!r}")
    print(f"{len(listed)} differences; vLLM took {vllm.took()}")
    if options.differences:
        options.differences.write_text("".join(json.dumps(asdict(d)) + "\n" for d in listed), encoding="utf-8")


if __name__ == "__main__":
    main()
