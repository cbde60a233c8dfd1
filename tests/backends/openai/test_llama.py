"""A real server: llama.cpp with the small model, and the torch backend with the same weights beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.backends.base import Generated, Scored
from harness.backends.openai import OpenAIBackend, OpenAIOptions
from harness.backends.torch import TorchBackend, TorchOptions
from harness.collect.budget import Budget
from harness.config import load
from harness.plan.request import Generate, Message, Sampling, Score
from harness.run import evaluate
from tests.backends.openai import llama_server
from tests.backends.openai.support import ask

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(find_spec("xllamacpp") is None, reason="xllamacpp has no wheel for this platform"),
]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with llama_server.serving() as url:
        yield url


@pytest.fixture(scope="module")
def made(base_url: str) -> OpenAIBackend:
    backend = OpenAIBackend(OpenAIOptions(base_url=base_url, model="smol"))
    backend.check()
    backend.probe(Budget(None))
    return backend


def test_what_it_can_is_found_out(made: OpenAIBackend) -> None:
    assert made.found is not None
    assert (made.found.chat, made.found.plain, made.found.n, made.found.seed) == (True, True, True, True)
    assert made.found.usage_in_streams
    assert not made.found.echo, "it takes the parameter and ignores it"
    assert made.capabilities.letters
    assert made.capabilities.letters_in_chat
    assert not made.capabilities.loglikelihood


@pytest.mark.parametrize("stream", [False, True])
def test_texts_stop_where_they_should(made: OpenAIBackend, base_url: str, stream: bool) -> None:
    backend = OpenAIBackend(OpenAIOptions(base_url=base_url, model="smol", stream=stream))
    backend.found = made.found
    plain = Generate("", "The capital of France is", (".", "\n"), 12)
    short = Generate("", "The capital of France is", (), 1)
    spoken = Generate("", "", (), 4, messages=(Message("user", "What is the capital of France?"),))
    drawn = Generate("", "Once", (), 6, Sampling(temperature=1.0, top_k=40, min_p=0.05, seed=7))
    answers = ask(backend, [plain, short, spoken, drawn])
    assert answers[plain.hash] == Generated(" Paris", "stop", 5, answers[plain.hash].completion_tokens)  # type: ignore[union-attr]
    assert answers[short.hash] == Generated(" Paris", "length", 5, 1)
    said = answers[spoken.hash]
    assert isinstance(said, Generated)
    assert (said.finish, said.completion_tokens) == ("length", 4)
    assert ask(backend, [drawn])[drawn.hash] == answers[drawn.hash], "the seed decides"


def test_the_same_letters_as_the_torch_backend(made: OpenAIBackend) -> None:
    letters = (" A", " B", " C", " D")
    asked = [
        Score("", f"Question: Which of these is {what}?\nA. heart\nB. stone\nC. river\nD. cat\nAnswer:", letters)
        for what in ("an organ", "an animal", "made of water")
    ]
    over_http = ask(made, list(asked))
    torch = TorchBackend(TorchOptions(dtype="float32"))
    beside = {request.hash: answer for batch in torch.answer(asked) for request, answer in batch}
    for request in asked:
        one, other = over_http[request.hash], beside[request.hash]
        assert isinstance(one, Scored)
        assert isinstance(other, Scored)
        # llama.cpp multiplies in 8 bits, which moves an unlikely token's value by more than half
        assert one.logprobs == pytest.approx(other.logprobs, abs=1.0)
        assert one.logprobs.index(max(one.logprobs)) == other.logprobs.index(max(other.logprobs))


def test_a_run(base_url: str, tmp_path: Path) -> None:
    chosen = ["backend=local_server", f"backend.base_url={base_url}", "backend.model=SmolLM2-135M-Instruct"]
    some = ["benchmarks=[mmlu,gsm8k]", "limit=2", "shots.mmlu=0", "shots.gsm8k=1", "generation.max_tokens=12"]
    folder = evaluate(load([*chosen, *some, f"run.dir={tmp_path}", "run.name=llama"]))
    scores = json.loads((folder / "scores.json").read_text())["benchmarks"]
    assert {name: entry["form"] for name, entry in scores.items()} == {"mmlu": "loglikelihood", "gsm8k": "generation"}
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["prompt"]["form"] == "letters"
    assert receipt["took"]["calls"] == 4
    assert receipt["totals"]["failed"] == 0
