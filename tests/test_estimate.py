"""What a plan will take: sharing, prices, and the arithmetic for a large model."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load
from harness.errors import UserError
from harness.estimate import Hardware, arithmetic, estimate, plan_table
from harness.prepare import prepare


def test_shared_tokens_count_once_and_the_total_is_that_of_distinct_requests(tiny_checkpoint: Path) -> None:
    chosen = [f"backend.model={tiny_checkpoint}", "backend.boundary=split", "limit=4"]
    prepared = prepare(load(["benchmarks=[humaneval,humaneval_plus,gsm8k]", *chosen]))
    rows = {row.name: row for row in estimate(prepared.plan, prepared.backend, Path("nowhere"))}
    assert set(rows) == {"humaneval", "humaneval_plus", "gsm8k", "total"}
    shots = rows["gsm8k"]
    assert shots.distinct_tokens < shots.billed_tokens == shots.prompt_tokens
    assert rows["total"].new_tokens == sum(row.new_tokens for name, row in rows.items() if name != "total")
    assert rows["total"].docs == 12
    table = plan_table([shots])
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["times fewer"] == [f"{shots.prompt_tokens / shots.distinct_tokens:.1f}"]


def test_arithmetic_of_a_large_model(tiny_checkpoint: Path) -> None:
    prepared = prepare(load(["benchmarks=[gsm8k]", f"backend.model={tiny_checkpoint}", "limit=2"]))
    (row,) = estimate(prepared.plan, prepared.backend, Path("nowhere"))
    text = arithmetic(row, Hardware(parameters=1e9, gpus=2, tflops=1.0, usd_per_million=1e6))
    tokens = row.distinct_tokens + row.new_tokens
    assert f"{2e9 * tokens:.3g} FLOPs" in text
    assert f"take at most {2e9 * tokens / 2e12 / 3600:,.1f} hours" in text
    assert text.endswith(f"takes at most ${row.billed_tokens + row.new_tokens:,.2f}.")


def test_the_assumptions_are_keys() -> None:
    with pytest.raises(UserError, match=r"estimate.gpus = 0, which is not above 0"):
        load(["estimate.gpus=0"])
    assert load(["estimate.gpus=4"]).hardware == Hardware(gpus=4)
    assert load([]).hardware == Hardware()


@pytest.mark.parametrize("key", ["parameters", "tflops", "usd_per_million"])
def test_each_assumption_changes_the_arithmetic(key: str, tiny_checkpoint: Path) -> None:
    prepared = prepare(load(["benchmarks=[gsm8k]", f"backend.model={tiny_checkpoint}", "limit=2"]))
    (row,) = estimate(prepared.plan, prepared.backend, Path("nowhere"))
    assert arithmetic(row, Hardware()) != arithmetic(row, load([f"estimate.{key}=7"]).hardware)
