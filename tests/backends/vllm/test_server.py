"""A real server that returns a prompt's log-probabilities: vLLM's own, and the torch backend with the same weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.backends.base import Generated, Scored
from harness.backends.openai import OpenAIBackend, OpenAIOptions
from harness.backends.torch import checkpoint
from harness.backends.vllm.export import exported
from harness.collect.budget import Budget
from harness.config import load
from harness.plan.request import Generate, Message, Sampling, Score
from harness.run import evaluate
from tests.backends.openai.support import ask

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

NAME = "smol"
UP_WITHIN = 400.0  # seconds: it loads for a minute on an idle machine


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = exported(checkpoint.locate(checkpoint.EMBEDDED, None))
    log = tmp_path_factory.mktemp("server") / "log"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", NAME,
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "1024", "--enforce-eager",
        "--max-logprobs", "100",
    ]  # fmt: skip
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ, process_group=0)
    try:
        ends = time.monotonic() + UP_WITHIN
        while not healthy(port):
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < ends, log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, 9)  # its engine is a process of its own
        server.wait()


def healthy(port: int) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def made(base_url: str) -> OpenAIBackend:
    backend = OpenAIBackend(OpenAIOptions(base_url=base_url, model=NAME))
    backend.check()
    backend.probe(Budget(None))
    return backend


def test_what_it_can_is_found_out(made: OpenAIBackend) -> None:
    assert made.found is not None
    assert (made.found.chat, made.found.plain, made.found.n, made.found.seed) == (True, True, True, True)
    assert made.found.echo, made.found.notes
    assert made.found.usage_in_streams
    assert made.capabilities.loglikelihood


def test_the_same_log_likelihoods_as_the_torch_backend(made: OpenAIBackend, torch_backend: Any) -> None:
    asked = [
        Score("Question: 2 + 2?\n", "Answer:", (" 4", " 5", " the number four")),
        Score("", "The capital of France is", (" Paris.", " Rome, of course")),
    ]
    over_http = ask(made, list(asked))
    beside = {request.hash: answer for batch in torch_backend.answer(asked) for request, answer in batch}
    for request in asked:
        one, other = over_http[request.hash], beside[request.hash]
        assert isinstance(one, Scored)
        assert isinstance(other, Scored)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-2)
        assert one.greedy == other.greedy


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_texts_as_the_torch_backend(
    made: OpenAIBackend, base_url: str, torch_backend: Any, stream: bool
) -> None:
    backend = OpenAIBackend(OpenAIOptions(base_url=base_url, model=NAME, stream=stream))
    backend.found = made.found
    asked = [
        Generate("", "The capital of France is", (".", "\n"), 12),
        Generate("", "Once upon a time", (), 8),
        Generate("", "", (), 8, messages=(Message("user", "What is the capital of France?"),)),
    ]
    over_http = ask(backend, list(asked))
    beside = {request.hash: answer for batch in torch_backend.answer(asked[:2]) for request, answer in batch}
    for request in asked[:2]:
        one, other = over_http[request.hash], beside[request.hash]
        assert isinstance(one, Generated)
        assert isinstance(other, Generated)
        assert (one.text, one.finish) == (other.text, other.finish)
    spoken = over_http[asked[2].hash]
    assert isinstance(spoken, Generated)
    assert spoken.completion_tokens == 8
    drawn = Generate("", "Once", (), 6, Sampling(temperature=1.0, top_k=40, min_p=0.05, seed=7))
    assert ask(backend, [drawn])[drawn.hash] == ask(backend, [drawn])[drawn.hash], "the seed decides"


def test_a_run(base_url: str, tmp_path: Path) -> None:
    chosen = ["backend=local_server", f"backend.base_url={base_url}", f"backend.model={NAME}"]
    some = ["benchmarks=[mmlu,gsm8k]", "limit=2", "shots.mmlu=0", "shots.gsm8k=1", "generation.max_tokens=12"]
    folder = evaluate(load([*chosen, *some, f"run.dir={tmp_path}", "run.name=vllm"]))
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["model"]["found"]["echo"]
    assert receipt["totals"]["failed"] == 0
