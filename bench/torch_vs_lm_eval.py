"""The torch backend against lm-eval's HFLM: speed, in turns, on the same checkpoint and the same prompts.

    python bench/torch_vs_lm_eval.py --data-root FOLDER [--rows gsm8k,humaneval] [--docs 30] [--dtype float32]
                                     [--batch-sizes 8,16,32] [--probe 8] [--new-tokens 256] [--rounds 1]
                                     [--speeds] [--limits]

For each row: seconds of both (HFLM at the best of its batch sizes, found on ``--probe`` requests of the row), the ratio
beside the one aimed at, both sides' scores by this project's scorer, the share of prompt tokens computed, our most
memory beside the weights (the first row's tells the most: what is freed is used again), and for scores how far from the
limit: wall time over (distinct tokens / the most tokens a second that a plain forward pass of the model reaches). The
other figure is of a pass through the layers alone, without logits, beside what the row asks for at least: the
arithmetic of its distinct tokens, each behind all of its ancestors, and of the logits that are read, over that of as
many tokens of the plain pass through the layers. With ``--limits`` lm-eval is left out, both speeds are the best of so
many rounds, and medians of the rounds are printed beside plain passes that go on for some seconds: where a processor's
speed changes within a second, the best single pass tells of moments that nothing longer reaches. For generation: tokens
a second beside transformers' own ``generate`` at batch 32, on texts that run to their ends on both sides; and
beside vLLM's CPU engine, where the environment has it (``.venv-vllm`` of ``make test-vllm``).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch

from harness.backends.base import Generated, Response, Scored
from harness.backends.torch import TorchBackend, TorchOptions
from harness.backends.torch.reads import lay_out
from harness.plan import Benchmark, Generate, Plan, Request, Score, Settings, Source, make_plan
from harness.plan.tokens import Encoded, distinct_tokens
from harness.score.programs import Execution, executing
from harness.score.scorer import score_plan
from harness.score.summary import summarise


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
    Row(Benchmark("cmmlu", "CMMLU", ("cmmlu_letter",), 5, "acc", None), 200, 6),
    Row(Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 10, "acc_norm", None), 200, 30),
    Row(Benchmark("arc_c", "ARC-C", ("arc_c_text",), 25, "acc_norm", None), 200, 45),
    Row(Benchmark("winogrande", "Winogrande", ("winogrande_suffix",), 5, "acc", None), 200, 4),
    Row(Benchmark("truthfulqa", "TruthfulQA", ("truthfulqa_mc2_primed",), 0, "mc2", None), 200, 4),
)
TEXTS = (
    Row(Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible"), 200, 2.5),
    Row(Benchmark("humaneval", "HumanEval", ("humaneval_evalplus",), 0, "pass@1", "base"), 164, 1.5),
)
# subjects measured, of how many: prompts of one subject share their shots
SUBJECTS = {"mmlu": (3, 57), "c_eval": (10, 52), "cmmlu": (3, 67)}
GENERATE_TEXTS, GENERATE_BATCH = 64, 32  # enough for a rate
STEADY = 3.0  # seconds of plain passes one after another
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
    """Requests on which HFLM's best batch size is found; 0 tries every size on all of them."""
    rounds: int
    """How often each side runs; its best time counts."""


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


def timed(run: Callable[[], Mapping[str, Response]], rounds: int) -> tuple[float, Mapping[str, Response]]:
    """The best time of some rounds, and the answers."""
    best: float = float("inf")
    answers: Mapping[str, Response] = {}
    for _ in range(rounds):
        began = time.perf_counter()
        answers = run()
        best = min(best, time.perf_counter() - began)
    return best, answers


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
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

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


def best_of_theirs(
    backend: TorchBackend, requests: Sequence[Request], sizes: Sequence[int], setting: Setting
) -> tuple[int, tuple[float, Mapping[str, Response]]]:
    """The batch size that is the fastest for HFLM, with its time and its answers to all requests."""

    def run(size: int, requests: Sequence[Request]) -> tuple[float, Mapping[str, Response]]:
        return timed(lambda: theirs(backend, requests, size), setting.rounds)

    if not setting.probe or len(sizes) == 1:
        times = {size: run(size, requests) for size in sizes}
        best = min(sizes, key=lambda size: times[size][0])
        return best, times[best]
    # spread over the row, so that every length is met; texts enough to fill the largest batch
    count = max(setting.probe, max(sizes)) if isinstance(requests[0], Generate) else setting.probe
    some = requests[:: max(1, len(requests) // count)][:count]
    probed = {size: run(size, some)[0] for size in sizes}
    print(f"    HFLM on {len(some)}: " + ", ".join(f"{s:.1f} s at {size}" for size, s in probed.items()), flush=True)
    best = min(sizes, key=lambda size: probed[size])
    return best, run(best, requests)


def score(plan: Plan, answers: Mapping[str, Response]) -> float:
    """The row's value."""
    with executing(Execution("auto", None, None)):
        summary = summarise(plan, score_plan(plan, answers))
    return float(next(iter(summary["benchmarks"].values()))["value"])


def steady_speed(forward: Callable[..., object], size: int) -> float:
    """Tokens a second of plain passes of so many tokens, one after another for some seconds."""
    ids, done, began = torch.randint(0, 1000, (1, size)), 0, time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - began < STEADY:
            forward(input_ids=ids, use_cache=False)
            done += size
    return done / (time.perf_counter() - began)


def plain_speed(forward: Callable[..., object]) -> tuple[float, int]:
    """The most tokens a second of a plain forward pass, and the tokens of the text that reaches it."""
    best = 0.0, 0
    for size in (128, 256, 512, 1024):
        ids = torch.randint(0, 1000, (1, size))
        for _ in range(3):
            began = time.perf_counter()
            with torch.inference_mode():
                forward(input_ids=ids, use_cache=False)
            best = max(best, (size / (time.perf_counter() - began), size))
    return best


@dataclass(frozen=True)
class Work:
    """What a row cannot do without."""

    tokens: int
    """Distinct prompt tokens."""
    pairs: int
    """Pairs of a token and itself or one of its ancestors, over all of them."""
    logits: int
    """Positions at which log-probabilities are read."""

    @classmethod
    def of(cls, encoded: Sequence[Encoded]) -> Work:
        """Of some requests; the last token of a continuation is not computed, but counted, as ``harness plan`` does."""
        stream, todo = lay_out(encoded, sys.maxsize)
        return cls(distinct_tokens(encoded), int((stream.depth + 1).sum()), len(set(todo.place.tolist())))

    def operations(self, model: Any) -> float:
        """Floating-point operations of the matrix products, twice the multiplications, for a Llama-like decoder."""
        config = model.config
        weights = sum(m.weight.numel() for m in model.base_model.modules() if isinstance(m, torch.nn.Linear))
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        pair = 2 * config.num_hidden_layers * config.num_attention_heads * head_size
        row = config.hidden_size * config.vocab_size
        return 2.0 * (self.tokens * weights + self.pairs * pair + self.logits * row)


@dataclass
class Limit:
    """How fast a row could be: the best seen so far."""

    work: Work
    """What the row asks for."""
    layers: tuple[float, int] = (0.0, 0)
    """Tokens a second of a plain pass through the layers, and the tokens of its text."""
    whole: tuple[float, int] = (0.0, 0)
    """The same with logits of all positions."""

    def measure(self, backend: TorchBackend) -> None:
        """Run plain passes; the best counts."""
        self.layers = max(self.layers, plain_speed(backend._model.base_model))
        self.whole = max(self.whole, plain_speed(backend._model))

    def times(self, seconds: float, backend: TorchBackend) -> str:
        """What a time is of the limit."""
        (whole, _), (layers, size) = self.whole, self.layers
        tokens, needed = self.work.tokens, self.work.operations(backend._model)
        plain = Work(size, size * (size + 1) // 2, 0).operations(backend._model) * tokens / size
        return (
            f"{seconds * whole / tokens:.2f} times the limit by {whole:.0f} tokens/s of a plain pass; "
            f"{seconds * layers / tokens:.2f} by {layers:.0f} of its layers alone, where the arithmetic is "
            f"{needed / plain:.2f} times theirs"
        )


def distance(row: Row, backend: TorchBackend, setting: Setting) -> str:
    """Ours and plain passes in turns, without lm-eval."""
    requests = plan_of(row, setting).unique()
    limit = Limit(Work.of(backend.tokenizer().encode(requests)))
    took: list[float] = []
    whole: list[float] = []
    layers: list[float] = []
    for _ in range(setting.rounds):
        limit.measure(backend)
        whole.append(steady_speed(backend._model, limit.whole[1]))
        layers.append(steady_speed(backend._model.base_model, limit.layers[1]))
        took.append(timed(lambda: ours(backend, requests), 1)[0])
    limit.measure(backend)
    tokens, best, usual = limit.work.tokens, min(took), statistics.median(took)
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
    before = backend.took()
    forget_peak()
    held = resident("VmRSS")
    seconds, mine = timed(lambda: ours(backend, requests), setting.rounds)
    after, peak = backend.took(), resident("VmHWM")
    spent = {key: (after[key] - before.get(key, 0)) / setting.rounds for key in ("computed_tokens", "new_tokens")}
    best, (slow, other) = best_of_theirs(backend, requests, sizes, setting)
    encoded = backend.tokenizer().encode(requests)
    line = (
        f"{row.benchmark.title:<11} {len(requests)} requests: {seconds:.1f} s against {slow:.1f} s (batch {best}): "
        f"{slow / seconds:.1f} times, aim {row.aim}; scores {score(plan, mine):.3f} and {score(plan, other):.3f}; "
        f"{spent['computed_tokens'] / sum(e.tokens for e in encoded):.1%} of prompt tokens computed; "
        f"{peak - held:.2f} GB at most beside the weights"
    )
    if is_text:
        same = sum(mine[r.hash].text == other[r.hash].text for r in requests)  # type: ignore[union-attr]
        return f"{line}; {same} texts the same"
    limit = Limit(Work.of(encoded))
    limit.measure(backend)
    return f"{line}; {limit.times(seconds, backend)}"


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
