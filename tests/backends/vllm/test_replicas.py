"""vLLM engines as Ray actors answer as the one in this process."""

from __future__ import annotations

from typing import Any

import pytest

from harness.backends import make_backend
from harness.backends.replicas import ReplicatedBackend
from harness.backends.vllm.backend import VllmBackend
from harness.plan.request import Request
from tests.backends.vllm.conftest import ENGINE
from tests.backends.vllm.test_engine import ENDINGS, LETTERS, TEXTS, agree, answers

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_two_engines_answer_as_one(vllm_backend: VllmBackend) -> None:
    requests: list[Request] = [*TEXTS, *ENDINGS, *LETTERS]
    options: dict[str, Any] = {"dtype": "float32", "engine": ENGINE, "replicas": 2, "ray": {"cpus": 0.5}}
    two = make_backend("vllm", options)
    assert isinstance(two, ReplicatedBackend)
    two.check()
    assert two.fingerprint() == vllm_backend.fingerprint()
    agree(answers(two, requests), answers(vllm_backend, requests))
    ways = [report["ways"] for report in two.took()["replicas"]]
    assert len(ways) == 2
    assert sum(report.get("one_token", 0) for report in ways) == len(LETTERS)
