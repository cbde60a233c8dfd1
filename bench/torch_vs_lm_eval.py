"""The torch backend against lm-eval's HFLM: speed, in turns, on the same checkpoint and the same prompts.

    python bench/torch_vs_lm_eval.py --data-root FOLDER [--rows gsm8k,humaneval] [--docs 30] [--dtype float32]
                                     [--batch-sizes 8,16,32] [--probe 8] [--new-tokens 256] [--rounds 1]
                                     [--speeds] [--limits]

For each row: seconds of both (HFLM at the best of its batch sizes, found on ``--probe`` requests of the row), medians
of ``--rounds`` in which both take turns, the ratio beside the one aimed at, both sides' scores by this project's
scorer, the share of prompt tokens computed, our most memory beside the weights (the first row's tells the most: what is
freed is used again), and for scores how far from the limit: wall time over (distinct tokens / the most tokens a second
that a plain forward pass of the model reaches). The other figure is of a pass through the layers alone, without logits,
beside what the row asks for at least: the arithmetic of its distinct tokens, each behind all of its ancestors, and of
the logits that are read, over that of as many tokens of the plain pass through the layers. HFLM's arithmetic over ours
is the ratio that sharing alone gives, where both compute equally fast.

HFLM gets the same loaded model, with the linear layers that this project gives it on a CPU. With ``--limits`` lm-eval
is left out, both speeds are the best of so many rounds, and medians of the rounds are printed beside plain passes that
go on for some seconds: where a processor's speed changes within a second, the best single pass tells of moments that
nothing longer reaches. For generation: tokens a second beside transformers' own ``generate`` at batch 32, on texts that
run to their ends on both sides; and beside vLLM's CPU engine, where the environment has it (``.venv-vllm`` of
``make test-vllm``).
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.plain_pass import STEADY, Limit, Work, sequences, steady_speed
from harness.backends.base import Generated, Response, Scored
from harness.backends.torch import TorchBackend, TorchOptions
from harness.plan import Benchmark, Generate, Plan, Request, Score, Settings, Source, make_plan
from harness.score.programs import Execution, executing
from harness.score.scorer import score_plan
from harness.score.summary import summarise

P = ParamSpec("P")


@dataclass(frozen=True)
class Row:
    """One benchmark to measure."""

    benchmark: Benchmark
    """What is asked."""
    docs: int
    """Docs asked, unless the command line says otherwise."""
    aim: float
    """How many times HFLM's speed is aimed at."""


SCORES = (
    Row(Benchmark("mmlu", "MMLU", ("mmlu_question",), 5, "acc", None), 200, 6),
    Row(Benchmark("c_eval", "C-Eval", ("c_eval_val",), 5, "acc", None), 200, 6),
    Row(Benchmark("cmmlu", "CMMLU", ("cmmlu_letter",), 5, "acc", None), 500, 6),
    Row(Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 10, "acc_norm", None), 200, 30),
    Row(Benchmark("arc_c", "ARC-C", ("arc_c_text",), 25, "acc_norm", None), 200, 45),
    Row(Benchmark("winogrande", "Winogrande", ("winogrande_suffix",), 5, "acc", None), 200, 4),
    Row(Benchmark("truthfulqa", "TruthfulQA", ("truthfulqa_mc2_primed",), 0, "mc2", None), 200, 4),
)
TEXTS = (
    Row(Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible"), 200, 2.5),
    Row(Benchmark("humaneval", "HumanEval", ("humaneval_evalplus",), 0, "pass@1", "base"), 164, 1.5),
)
# subjects measured, of how many: prompts of one subject share their shots; CMMLU's are asked whole
SUBJECTS = {"mmlu": (3, 57), "c_eval": (10, 52), "cmmlu": (3, 67)}
GENERATE_TEXTS, GENERATE_BATCH = 64, 32  # enough for a rate
GENERATE_AIM = 1.3  # times the tokens a second of transformers' own generate


@dataclass(frozen=True)
class Setting:
    """What holds for all rows."""

    source: Source
    """Where docs come from."""
    docs: int | None
    """Docs a row; None takes the row's own number."""
    new_tokens: int | None
    """The most new tokens of a text; None takes the task's own number."""
    batch_sizes: tuple[int, ...] | None
    """Those that HFLM is tried with; None takes 1, 8, 32 for scores and 8, 16, 32 for texts."""
    probe: int
    """Requests on which HFLM's best batch size is found, more if they do not fill a batch; 0 takes all of them."""
    rounds: int
    """How often each side runs; the median of its times counts."""


def plan_of(row: Row, setting: Setting) -> Plan:
    """So many docs of a row; in a set of many subjects, all from a few of them."""
    docs = setting.docs or row.docs
    few, many = SUBJECTS.get(row.benchmark.name, (1, 1))
    settings = Settings(
        limit=-(-docs * many // few),
        generation={"max_tokens": setting.new_tokens} if setting.new_tokens else {},
    )
    plan = make_plan((row.benchmark,), setting.source, settings, strict=True, named=True)
    if many == 1:
        return plan
    (bench,) = plan.benchmarks
    return replace(plan, benchmarks=(replace(bench, tasks=bench.tasks[:few]),))


def timed(
    run: Callable[P, Mapping[str, Response]], *args: P.args, **kwargs: P.kwargs
) -> tuple[float, Mapping[str, Response]]:
    """Seconds of a run, and its answers."""
    began = time.perf_counter()
    answers = run(*args, **kwargs)
    return time.perf_counter() - began, answers


def resident(key: str) -> float:
    """What this process holds now (``VmRSS``) or held at most (``VmHWM``), in GB; Linux alone tells."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(key))


def forget_peak() -> None:
    """Let ``VmHWM`` begin again."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def ours(backend: TorchBackend, requests: Sequence[Request]) -> dict[str, Response]:
    return {request.hash: answer for batch in backend.answer(requests) for request, answer in batch}


def theirs(backend: TorchBackend, requests: Sequence[Request], batch_size: int) -> dict[str, Response]:
    """HFLM's answers, as responses of ours."""
    lm = HFLM(pretrained=backend._model, tokenizer=backend.tokenizer().inner, batch_size=batch_size)
    answers: dict[str, Response] = {}
    scores = [r for r in requests if isinstance(r, Score)]
    asked = [Instance("loglikelihood", {}, (r.context, c), i) for r in scores for i, c in enumerate(r.continuations)]
    if asked:
        values = iter(lm.loglikelihood(asked, disable_tqdm=True))
        for r in scores:
            logprobs, greedy = zip(*(next(values) for _ in r.continuations), strict=True)
            answers[r.hash] = Scored(tuple(logprobs), tuple(greedy), 0)
    texts = [r for r in requests if isinstance(r, Generate)]
    arguments = [{"until": list(r.stop), "max_gen_toks": r.max_tokens, "do_sample": False} for r in texts]
    made = [Instance("generate_until", {}, (r.context, a), 0) for r, a in zip(texts, arguments, strict=True)]
    for asking, text in zip(texts, lm.generate_until(made, disable_tqdm=True) if made else (), strict=True):
        answers[asking.hash] = Generated(text, "stop", 0, 0)
    return answers


def best_size(backend: TorchBackend, requests: Sequence[Request], sizes: Sequence[int], probe: int) -> int:
    """The batch size that is the fastest for HFLM, by the better of two times."""
    if len(sizes) == 1:
        return sizes[0]
    # enough to fill the largest batch, and spread over the row, so that every length is met
    each = len(sequences(backend.tokenizer().encode(requests))) / len(requests)
    count = max(probe, math.ceil(max(sizes) / each)) if probe else len(requests)
    some = requests[:: max(1, len(requests) // count)][:count]
    probed = {size: min(timed(theirs, backend, some, size)[0] for _ in range(2)) for size in sizes}
    print(f"    HFLM on {len(some)}: " + ", ".join(f"{s:.1f} s at {size}" for size, s in probed.items()), flush=True)
    return min(sizes, key=lambda size: probed[size])


def score(plan: Plan, answers: Mapping[str, Response]) -> float:
    """The row's value."""
    with executing(Execution("auto", None, None)):
        summary = summarise(plan, score_plan(plan, answers))
    return float(next(iter(summary["benchmarks"].values()))["value"])


def distance(row: Row, backend: TorchBackend, setting: Setting) -> str:
    """Ours and plain passes in turns, without lm-eval."""
    requests = plan_of(row, setting).unique()
    limit = Limit.of(backend.tokenizer().encode(requests))
    took: list[float] = []
    whole: list[float] = []
    layers: list[float] = []
    for _ in range(setting.rounds):
        limit.measure(backend)
        whole.append(steady_speed(backend._model, limit.whole[1]))
        layers.append(steady_speed(backend._model.base_model, limit.layers[1]))
        took.append(timed(ours, backend, requests)[0])
    limit.measure(backend)
    tokens, best, usual = limit.tokens, min(took), statistics.median(took)
    steady = [usual * statistics.median(speeds) / tokens for speeds in (whole, layers)]
    return (
        f"{row.benchmark.title:<11} {len(requests)} requests: {best:.1f} s, {tokens / best:.0f} distinct tokens/s; "
        f"{limit.times(best, backend)}; medians: {steady[0]:.2f} times the limit by plain passes for {STEADY:.0f} s, "
        f"{steady[1]:.2f} by their layers alone"
    )


def speed_of_ours(backend: TorchBackend, requests: Sequence[Generate]) -> float:
    """Tokens a second of ours, prompts in the time."""
    before, began = backend.took(), time.perf_counter()
    ours(backend, requests)
    return float(backend.took()["new_tokens"] - before.get("new_tokens", 0)) / (time.perf_counter() - began)


def speed_of_generate(backend: TorchBackend, requests: Sequence[Generate]) -> float:
    """Tokens a second of transformers' ``generate``: those up to each text's end count, prompts are in the time."""
    tokenizer = backend.tokenizer()
    encoded = tokenizer.encode(requests)
    end, count, began = tokenizer.inner.eos_token_id, 0, time.perf_counter()
    for start in range(0, len(requests), GENERATE_BATCH):
        contexts = [e.context for e in encoded[start : start + GENERATE_BATCH]]
        width = max(map(len, contexts))
        ids = torch.tensor([[end] * (width - len(c)) + c for c in contexts])
        mask = torch.tensor([[0] * (width - len(c)) + [1] * len(c) for c in contexts])
        limit = max(r.max_tokens for r in requests[start : start + GENERATE_BATCH])
        with torch.inference_mode():
            rows = backend._model.generate(
                ids, attention_mask=mask, max_new_tokens=limit, do_sample=False, pad_token_id=end
            )[:, width:].tolist()
        count += sum(row.index(end) + 1 if end in row else len(row) for row in rows)
    return count / (time.perf_counter() - began)


def speed_of_vllm(dtype: str, requests: Sequence[Generate]) -> float:
    """Tokens a second of vLLM's CPU engine by this project's vLLM backend, prompts in the time."""
    from harness.backends import make_backend

    engine = make_backend("vllm", {"dtype": dtype, "engine": {"max_model_len": 4096, "enforce_eager": True}})
    engine.check()
    list(engine.answer([replace(requests[0], max_tokens=2)]))  # what is compiled at the first request
    began = time.perf_counter()
    done = [answer for batch in engine.answer(requests) for _, answer in batch]
    return sum(answer.completion_tokens for answer in done if isinstance(answer, Generated)) / (
        time.perf_counter() - began
    )


def speeds(row: Row, backend: TorchBackend, setting: Setting) -> str:
    """Tokens a second beside transformers' ``generate``, and vLLM's CPU engine where it is installed.

    Without stop strings, so that all write the same texts to the same ends.
    """
    asked = [replace(r, stop=()) for r in plan_of(row, setting).unique() if isinstance(r, Generate)][:GENERATE_TEXTS]
    speed, own = speed_of_ours(backend, asked), speed_of_generate(backend, asked)
    line = (
        f"{row.benchmark.title:<11} {len(asked)} texts without stops: {speed:.0f} tokens/s against {own:.0f} of "
        f"generate at batch {GENERATE_BATCH}: {speed / own:.2f} times, aim {GENERATE_AIM}"
    )
    if importlib.util.find_spec("vllm") is None:
        return line
    other = speed_of_vllm(backend.options.dtype, asked)
    return f"{line}; {other:.0f} of vLLM's CPU engine: {speed / other:.2f} times"


def measure(row: Row, backend: TorchBackend, setting: Setting) -> str:
    """Both sides on one row, in turns; a line of results."""
    plan = plan_of(row, setting)
    requests = plan.unique()
    is_text = isinstance(requests[0], Generate)
    sizes = setting.batch_sizes or ((8, 16, 32) if is_text else (1, 8, 32))
    before, best = backend.took(), 0
    took: list[float] = []
    slow: list[float] = []
    beside: list[float] = []
    for _ in range(setting.rounds):
        forget_peak()
        held = resident("VmRSS")
        seconds, mine = timed(ours, backend, requests)
        took.append(seconds)
        beside.append(resident("VmHWM") - held)
        best = best or best_size(backend, requests, sizes, setting.probe)
        seconds, other = timed(theirs, backend, requests, best)
        slow.append(seconds)
    computed = (backend.took()["computed_tokens"] - before.get("computed_tokens", 0)) / setting.rounds
    usual, lasted = statistics.median(took), statistics.median(slow)
    encoded = backend.tokenizer().encode(requests)
    line = (
        f"{row.benchmark.title:<11} {len(requests)} requests: {usual:.1f} s against {lasted:.1f} s (batch {best}): "
        f"{lasted / usual:.1f} times, aim {row.aim}; "
        f"scores {score(plan, mine):.3f} and {score(plan, other):.3f}; "
        f"{computed / sum(e.tokens for e in encoded):.1%} of prompt tokens computed; "
        f"{max(beside):.2f} GB at most beside the weights"
    )
    if setting.rounds > 1:
        line += "; by rounds " + ", ".join(f"{b / a:.2f}" for a, b in zip(took, slow, strict=True)) + " times"
    if is_text:
        same = sum(mine[r.hash].text == other[r.hash].text for r in requests)  # type: ignore[union-attr]
        return f"{line}; {same} texts the same"
    limit = Limit.of(encoded)
    limit.measure(backend)
    more = Work.one_by_one(encoded).operations(backend._model) / limit.work.operations(backend._model)
    return f"{line}; HFLM's arithmetic is {more:.2f} times ours; {limit.times(usual, backend)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--rows", default=",".join(row.benchmark.name for row in TEXTS))
    parser.add_argument("--docs", type=int)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--new-tokens", type=int)
    parser.add_argument("--batch-sizes", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--probe", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--speeds", action="store_true", help="of texts, only the tokens a second; without lm-eval")
    parser.add_argument("--limits", action="store_true", help="of scores, only the distance to the limit; no lm-eval")
    parser.add_argument("--slots", type=int, default=TorchOptions.slots)
    options = parser.parse_args()
    rows = {row.benchmark.name: row for row in (*SCORES, *TEXTS)}
    setting = Setting(
        Source("mirror", options.data_root), options.docs, options.new_tokens, options.batch_sizes,
        options.probe, options.rounds,
    )  # fmt: skip
    backend = TorchBackend(TorchOptions(dtype=options.dtype, slots=options.slots))
    backend.check()
    print(f"{options.dtype}, {torch.get_num_threads()} threads; packed by {backend.way.name}", flush=True)
    for name in options.rows.split(","):
        if options.limits:
            print(distance(rows[name], backend, setting), flush=True)
            continue
        if not options.speeds:
            print(measure(rows[name], backend, setting), flush=True)
        if rows[name] in TEXTS:
            print(speeds(rows[name], backend, setting), flush=True)


if __name__ == "__main__":
    main()
