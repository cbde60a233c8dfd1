"""The default suite with the embedded model, a few docs of each row: what ``make eval`` does."""

import json
from pathlib import Path

import pandas as pd

from harness.config import load
from harness.run import evaluate


def test_the_quickstart_fills_its_rows(tmp_path: Path) -> None:
    folder = evaluate(load([f"run.dir={tmp_path}", "limit=2", "generation.max_tokens=48"]))
    scores = json.loads((folder / "scores.json").read_text())
    receipt = json.loads((folder / "receipt.json").read_text())
    assert list(scores["benchmarks"]) == ["mmlu", "hellaswag", "gsm8k", "c_eval", "humaneval"]
    assert scores["skipped"] == {}
    assert {b["n"] for b in scores["benchmarks"].values()} == {2}
    assert receipt["model"]["model"] == "SmolLM2-135M-Instruct"
    assert receipt["model"]["kind"] == "instruct"
    programs = pd.read_parquet(folder / "samples" / "humaneval_evalplus.parquet")
    assert list(programs["doc_id"]) == ["HumanEval/0", "HumanEval/1"]
    assert set(programs["rule"]) == {"executed"}
    table = (folder / "table.md").read_text()
    assert "sample docs" in table
    assert "only part of the docs" in table  # HumanEval's problems are the real ones
