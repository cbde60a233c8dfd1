"""How requests become engine requests, with no engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backends import make_backend
from harness.backends.base import Scored
from harness.backends.vllm import asking
from harness.backends.vllm.options import VllmOptions, check_engine
from harness.collect.budget import Budget
from harness.config import load
from harness.errors import BackendError, UserError
from harness.plan.request import Generate, Sampling, Score
from harness.plan.tokens import Encoded
from harness.prepare import prepare

QUESTION = Score("", "Q", ("a", "b"))
CONTEXT = list(range(100, 400))


def test_letters_are_one_request_that_reads_its_choices() -> None:
    (ask,) = asking.asks_of(5, QUESTION, Encoded(CONTEXT, [[7], [9]]), 1000, "auto")
    assert (ask.owner, ask.way, ask.prompt, ask.wanted) == (5, "one_token", tuple(CONTEXT), (7, 9))
    params = asking.score_params(ask, {})
    assert params["max_tokens"] == 1
    assert params["logprob_token_ids"] == [7, 9]
    assert "prompt_logprobs" not in params  # it would pass the prefix cache by


def test_answers_are_said_after_a_long_context_and_read_off_a_short_one() -> None:
    long = asking.asks_of(0, QUESTION, Encoded(CONTEXT, [[7, 8], [9]]), 1000, "auto")
    assert [(a.part, a.way, a.prompt, a.wanted) for a in long] == [
        (0, "forced", tuple(CONTEXT), (7, 8)),
        (1, "forced", tuple(CONTEXT), (9,)),
    ]
    (short,) = asking.asks_of(0, Score("", "", ("a",)), Encoded([1], [[7, 8, 9]]), 1000, "auto")
    assert (short.way, short.prompt, short.wanted) == ("prompt_logprobs", (1, 7, 8, 9), (7, 8, 9))


@pytest.mark.parametrize("way", ["forced", "prompt_logprobs"])
@pytest.mark.parametrize("answer", [3, 20, 45])
def test_no_request_is_longer_than_the_engine_and_every_token_is_read_once(way: str, answer: int) -> None:
    ids = list(range(500, 500 + answer))
    asks = asking.asks_of(0, Score("", "", ("a",)), Encoded(CONTEXT, [ids]), 20, way)
    assert [i for ask in asks for i in ask.wanted] == ids
    for ask in asks:
        # one more than the inputs: the last token is only read
        assert len(ask.prompt) + (len(ask.wanted) if ask.way == "forced" else 0) <= 21


def test_parts_of_an_answer_add_up_in_any_order() -> None:
    ids = Encoded(CONTEXT, [[1, 2], [3]])
    reads = [(1, -0.5, True), (0, -1.0, True), (0, -2.0, False)]
    assert asking.scored(reads, ids) == Scored((-3.0, -0.5), (False, True), 303)


def output(tokens: list[int], logprobs: Any = None, finish: str = "stop") -> Any:
    said = SimpleNamespace(token_ids=tokens, logprobs=logprobs, finish_reason=finish)
    return SimpleNamespace(outputs=[said], prompt_token_ids=[1, 2])


def test_a_forced_answer_must_be_the_wanted_one() -> None:
    (ask,) = asking.asks_of(0, Score("", "", ("a",)), Encoded(CONTEXT, [[7, 8]]), 1000, "forced")
    rows = [{7: SimpleNamespace(logprob=-1.0, rank=1)}, {8: SimpleNamespace(logprob=-2.0, rank=3)}]
    assert asking.read_score(ask, output([7, 8], rows)) == [(0, -3.0, False)]
    with pytest.raises(BackendError, match="did not say"):
        asking.read_score(ask, output([7, 9], rows))


def test_special_stops_are_given_by_id_and_a_greedy_text_has_no_seed() -> None:
    greedy = asking.text_params(Generate("", "x", ("\n", "<|im_end|>", ""), 9), {"<|im_end|>": 2})
    assert greedy["stop"] == ["\n", "<|im_end|>"]
    assert greedy["stop_token_ids"] == [2]
    assert (greedy["temperature"], greedy["max_tokens"], "seed" in greedy) == (0.0, 9, False)
    sampling = Sampling(0.7, 0.9, 40, 0.1, 1.1, 0.2, 0.3, 5)
    drawn = asking.text_params(Generate("", "x", (), 9, sampling), {})
    # the engine has the same words for all of them
    for name, value in asdict(sampling).items():
        assert drawn[name] == value


def test_texts_are_cut_at_the_first_stop() -> None:
    tokenizer = SimpleNamespace(decode=lambda ids: "one two\nthree")
    request = Generate("", "x", ("\n",), 4)
    stopped = asking.generated(request, output([1, 2, 3], finish="length"), tokenizer)  # type: ignore[arg-type]
    assert (stopped.text, stopped.finish, stopped.completion_tokens) == ("one two", "stop", 3)
    whole = asking.generated(Generate("", "x", (), 4), output([1], finish="length"), tokenizer)  # type: ignore[arg-type]
    assert (whole.text, whole.finish) == ("one two\nthree", "length")


def test_what_changes_answers_is_in_the_fingerprint_and_placement_is_not() -> None:
    def meaning(**engine: Any) -> str:
        return VllmOptions(engine=engine).meaning

    assert meaning(tensor_parallel_size=8, gpu_memory_utilization=0.8) == meaning()
    assert meaning(quantization="fp8") != meaning()
    assert meaning(max_model_len=2048) != meaning()


def test_gpus_of_one_engine() -> None:
    assert VllmOptions(engine={"tensor_parallel_size": 4, "pipeline_parallel_size": 2}).gpus == 8
    assert VllmOptions().gpus == 1
    assert VllmOptions(engine={"tensor_parallel_size": 16, "distributed_executor_backend": "ray"}).gpus == 0


@pytest.mark.parametrize(("key", "remedy"), [("dtype", "backend.dtype"), ("logits_processors", "scoring needs it")])
def test_arguments_that_are_ours_are_refused(key: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        check_engine({key: "x"})
    assert caught.value.problem == f"backend.engine.{key} = x, which is not set this way."
    assert remedy in caught.value.remedy


def test_a_missing_vllm_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="the package vllm is not installed"):
        make_backend("vllm", {}).check()


def test_a_plan_needs_no_vllm(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "vllm" else real(name, *rest))
    chosen = ["benchmarks=[mmlu]", "limit=1", "backend=vllm", f"backend.model={tiny_checkpoint}"]
    for replicas in ("1", "2"):
        config = load([*chosen, f"backend.replicas={replicas}", "backend.ray.address=127.0.0.1:9"])
        assert prepare(config).plan.benchmarks[0].requests
    with pytest.raises(UserError, match="the package vllm is not installed"):
        prepare(load(chosen), Budget(None))
