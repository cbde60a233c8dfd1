"""Runs that stop asking when they know enough, answered by rule on real docs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import harness.prepare
from harness.backends.base import Response, Scored
from harness.config import load
from harness.errors import UserError
from harness.plan import Request, Score
from harness.plan.order import stratified
from harness.run import evaluate, rescore
from tests.conftest import RuleBackend


def test_every_beginning_of_the_order_has_the_same_share_of_each_task() -> None:
    docs = {"a": [f"a{i}" for i in range(400)], "b": [f"b{i}" for i in range(100)]}
    order = stratified(docs, seed=0)
    assert len(set(order)) == 500
    for n in (25, 100, 333):
        beginning = [task for task, _ in order[:n]]
        assert beginning.count("a") == pytest.approx(0.8 * n, abs=1)
    assert order != stratified(docs, seed=1)
    # a doc's place depends on no other doc
    few = {"a": docs["a"][::2], "b": docs["b"]}
    kept = [docs["a"][place] for task, place in order if task == "a" and place % 2 == 0]
    assert [few["a"][place] for task, place in stratified(few, seed=0) if task == "a"] == kept


class WarpedBackend(RuleBackend):
    """As the rule, but for a share of the docs another answer."""

    def __init__(self, share: float) -> None:
        super().__init__(batch=500)
        self.share = share

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for batch in super().answer(requests):
            yield [(request, self._warped(request, response)) for request, response in batch]

    def _warped(self, request: Request, response: Response) -> Response:
        if not isinstance(request, Score) or int(request.hash[-6:], 16) / 16**6 >= self.share:
            return response
        values = [
            -1.0 - int(request.hash[40 + i * 3 : 43 + i * 3], 16) / 4096 for i in range(len(request.continuations))
        ]
        return Scored(tuple(values), tuple(False for _ in values), 10)


@pytest.fixture
def measure(real_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(name: str, *more: str, share: float = 0.0) -> tuple[Path, RuleBackend]:
        backend = WarpedBackend(share)
        monkeypatch.setattr(backend, "fingerprint", lambda: f"rule {share}")
        monkeypatch.setattr(harness.prepare, "make_backend", lambda kind, options: backend)
        common = ["benchmarks=[arc_c]", "shots.arc_c=0", "data=mirror", f"data.root={real_hub}", f"run.dir={tmp_path}"]
        return evaluate(load([*common, f"run.name={name}", *more])), backend

    return run


def entry(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())["benchmarks"]["arc_c"]
    return found


def test_a_narrow_interval_stops_a_benchmark(measure: Any) -> None:
    whole, _ = measure("whole")
    folder, backend = measure("narrow", "precision.halfwidth=5")
    found = entry(folder)
    interval = found["precision"]
    assert 100 < found["n"] < found["of"] == 1172
    assert len(backend.asked) < 1172
    assert interval["high"] - interval["low"] <= 0.1
    assert interval["low"] <= entry(whole)["value"] <= interval["high"]
    assert interval["stopped"].startswith("its interval is ±")
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["precision"]["arc_c"]["asked"] == found["n"]
    assert receipt["benchmarks"]["arc_c"]["complete"] is False
    table = (folder / "table.md").read_text()
    assert f"(n={found['n']} of 1172)" in table
    assert "confidence sequence" in table
    # with the correction for a finite set, smaller than s / sqrt(n)
    samples = pd.read_parquet(folder / "samples" / "arc_c_text.parquet")
    assert found["stderr"] < samples["score"].sem() * 0.95


def test_scoring_and_resuming_keep_what_was_asked(measure: Any) -> None:
    folder, _ = measure("narrow", "precision.halfwidth=5")
    before = (folder / "scores.json").read_bytes()
    rescore(folder)
    assert (folder / "scores.json").read_bytes() == before
    again, backend = measure("narrow", "precision.halfwidth=5")
    assert backend.asked == []
    assert (again / "scores.json").read_bytes() == before
    with pytest.raises(UserError, match="a run of another precision already"):
        measure("narrow", "precision.halfwidth=4")


def test_a_floor_stops_when_it_is_surely_passed_or_missed(measure: Any) -> None:
    low, _ = measure("low", "precision.min.arc_c=10")
    high, _ = measure("high", "precision.min.arc_c=60")
    assert entry(low)["precision"]["stopped"] == "surely at least 10"
    assert entry(high)["precision"]["stopped"] == "surely below 60"
    assert max(entry(low)["n"], entry(high)["n"]) < 600
    with pytest.raises(UserError, match=r"precision\.min\.mmlu: the run has no such benchmark"):
        measure("other", "precision.min.mmlu=60")


def test_a_baseline_stops_when_the_gate_would_be_sure(measure: Any) -> None:
    from harness.compare import compare
    from harness.compare.gate import judge

    whole, _ = measure("whole")
    folder, _ = measure("alike", f"precision.baseline={whole}", "precision.margin=4", share=0.02)
    found = entry(folder)
    assert found["precision"]["stopped"] == "surely no worse than whole by more than 4"
    assert found["n"] < 1172
    # the gate and the comparison use the same sequence, not a test that forgets the looks
    assert judge(folder, whole, margin=4).open
    (row,) = compare([whole, folder]).pairs[0].rows
    assert row.test == "confidence sequence"
    assert row.n == found["n"]


def test_what_cannot_be_decided_is_asked_in_full(measure: Any) -> None:
    folder, backend = measure("exact", "precision.halfwidth=0.01")
    found = entry(folder)
    assert found["n"] == found["of"] == len(backend.asked)
    assert "precision" not in found
    assert json.loads((folder / "receipt.json").read_text())["precision"]["arc_c"]["stopped"] == "all docs were asked"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["precision.halfwidth=1", "limit=5"], "limit = 5, together with precision"),
        (["precision.halfwidth=0"], r"precision\.halfwidth = 0"),
        (["precision.baseline=x", "precision.margin=-1"], r"precision\.margin = -1"),
    ],
)
def test_wrong_settings(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(["benchmarks=[arc_c]", *overrides])


def test_without_precision_nothing_is_different(measure: Any) -> None:
    assert load(["benchmarks=[arc_c]"]).precision is None
    folder, backend = measure("whole")
    receipt = json.loads((folder / "receipt.json").read_text())
    assert set(receipt["identity"]) == {"model", "plan", "benchmarks"}
    assert "precision" not in receipt
    # in the plan's order, not in the drawn one
    asked = pd.read_parquet(folder / "responses.parquet")["request"].tolist()
    assert backend.asked == asked
