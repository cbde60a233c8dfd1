"""The real engine beside the torch backend: the same log-likelihoods and texts, by every way of asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.backends.base import Backend, Generated, Response, Scored
from harness.backends.vllm.backend import VllmBackend
from harness.errors import BackendError, UserError
from harness.plan.request import Generate, Request, Sampling, Score

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SHOTS = "Question: 2 + 2?\nAnswer: 4\n\nQuestion: What is the capital of Italy?\nAnswer: Rome\n\n" * 8
LETTERS = [
    Score(SHOTS, f"Question: Which word names a {kind}?\nA. table\nB. lion\nC. rose\nAnswer:", (" A", " B", " C"))
    for kind in ("plant", "animal", "piece of furniture")
]
ENDINGS = [
    Score(SHOTS, "The capital of France", (" is Paris, a large city.", " is a kind of blue cheese.", " Rome")),
    Score(SHOTS, "He opened the door", (" and went in.", " and the moon fell into the soup.")),
    Score("", "", ("Hello world, this is a text by itself.",)),
]
TEXTS = [
    Generate(SHOTS, "Question: What is the capital of France?\nAnswer:", ("\n",), 12),
    Generate("", "Once upon a time", (), 16),
    Generate("", "1, 2, 3, 4, 5,", (" 9",), 24),
]


def answers(backend: Backend, requests: Sequence[Request]) -> dict[str, Response]:
    return {request.hash: answer for batch in backend.answer(requests) for request, answer in batch}


def agree(ours: dict[str, Response], theirs: dict[str, Response]) -> None:
    assert ours.keys() == theirs.keys()
    for key, mine in ours.items():
        other = theirs[key]
        if isinstance(mine, Generated):
            assert mine == other
        else:
            assert isinstance(other, Scored)
            assert mine.logprobs == pytest.approx(other.logprobs, abs=5e-3)
            assert (mine.greedy, mine.prompt_tokens) == (other.greedy, other.prompt_tokens)


def test_every_way_gives_the_torch_backends_answers(vllm_backend: VllmBackend, torch_backend: Backend) -> None:
    requests: list[Request] = [*TEXTS, *ENDINGS, *LETTERS]
    theirs = answers(torch_backend, requests)
    agree(answers(vllm_backend, requests), theirs)
    ways = vllm_backend.took()["ways"]
    assert (ways["one_token"], ways["text"]) == (3, 3)
    assert ways["forced"] >= 5  # answers after the long context, and the engine's own trial
    assert ways["prompt_logprobs"] >= 1  # the text by itself
    scores: list[Request] = [*ENDINGS, *LETTERS]
    before = vllm_backend.__dict__["scoring"]
    vllm_backend.__dict__["scoring"] = ("prompt_logprobs", "")
    try:
        agree(answers(vllm_backend, scores), {r.hash: theirs[r.hash] for r in scores})
    finally:
        vllm_backend.__dict__["scoring"] = before


def test_letters_and_answers_read_the_prefix_cache(vllm_backend: VllmBackend) -> None:
    answers(vllm_backend, LETTERS)  # fills the cache
    before = vllm_backend.took()
    answers(vllm_backend, [*LETTERS, *ENDINGS[:2]])
    after = vllm_backend.took()
    asked, cached = (after[k] - before[k] for k in ("prompt_tokens", "cached_tokens"))
    assert cached > 0.5 * asked


def test_a_seed_makes_a_sampled_text_whatever_else_is_in_the_batch(vllm_backend: VllmBackend) -> None:
    sampled = [Generate("", "Once upon a time", (), 12, Sampling(0.9, top_p=0.95, seed=seed)) for seed in range(3)]
    together = answers(vllm_backend, sampled)
    alone = answers(vllm_backend, sampled[1:2])
    assert together[sampled[1].hash] == alone[sampled[1].hash]
    assert len({answer.text for answer in together.values() if isinstance(answer, Generated)}) > 1


def test_a_prompt_that_is_too_long_loses_its_beginning(
    vllm_backend: VllmBackend, caplog: pytest.LogCaptureFixture
) -> None:
    long = "word " * 1500
    asked: list[Request] = [Score(long, "The capital of France is", (" Paris", " Rome")), Generate(long, "end", (), 4)]
    got = answers(vllm_backend, asked)
    assert len(got) == 2
    assert "1 prompts are longer" in caplog.text or "2 prompts are longer" in caplog.text


def test_leaving_early_takes_the_rest_back(vllm_backend: VllmBackend) -> None:
    requests: list[Request] = [Generate("", f"Number {i} is", (), 24) for i in range(6)] + list(LETTERS)
    stream = vllm_backend.answer(requests)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(first) < len(requests)
    assert not vllm_backend.engine.llm.llm_engine.has_unfinished_requests()
    assert len(answers(vllm_backend, LETTERS)) == len(LETTERS)


def test_an_engine_argument_that_vllm_refuses_is_the_users(tmp_path: Any) -> None:
    from harness.backends import make_backend

    backend = make_backend("vllm", {"dtype": "float32", "engine": {"max_model_len": 10_000_000}})
    backend.check()
    with pytest.raises(UserError, match=r"backend\.engine = .*max_model_len"):
        next(iter(backend.answer(TEXTS)))


def test_an_unknown_engine_argument_is_named_with_the_nearest() -> None:
    from harness.backends import make_backend

    with pytest.raises(UserError, match=r"unknown key backend.engine.tensor_paralel_size") as caught:
        make_backend("vllm", {"engine": {"tensor_paralel_size": 4}}).check()
    assert "tensor_parallel_size" in caught.value.remedy


def test_other_tokens_than_the_wanted_ones_are_a_failure(vllm_backend: VllmBackend) -> None:
    forcing = vllm_backend.engine.forcing
    vllm_backend.engine.forcing = lambda tokens: {}  # type: ignore[method-assign]
    try:
        with pytest.raises(BackendError, match="did not say the answer"):
            answers(vllm_backend, ENDINGS[:1])
    finally:
        vllm_backend.engine.forcing = forcing  # type: ignore[method-assign]
