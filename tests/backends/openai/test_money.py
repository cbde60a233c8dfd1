"""A hard cap: what the server charges never exceeds it, whatever fails, and however often the client starts again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.backends.base import Generated
from harness.backends.openai import asking
from harness.collect import Budget, Store, collect
from harness.errors import BudgetError
from tests.backends.openai.server import FaultServer
from tests.backends.openai.support import ask, backend, mix, questions


@pytest.mark.parametrize("limit", [0.0003, 0.002, 0.005])
def test_the_meter_never_passes_the_budget(limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    asked = questions(400)
    with FaultServer(mix(3), latency=0.01) as server, Store(tmp_path / "s.sqlite") as store:
        for _ in range(3):  # the same command again does not spend more
            budget = Budget(limit, store.spent("run"), lambda usd: store.note_spent("run", usd))
            with pytest.raises(BudgetError, match=f"budget.usd = {limit:g}"):
                collect(asked, backend(server.base_url), store, budget)
            budget.close()
            assert budget.in_flight == 0
        kept = store.get(backend(server.base_url).fingerprint(), [request.hash for request in asked])
        assert server.charged <= budget.charged <= limit
        # it is used, too: what is left is less than some requests may cost
        assert budget.charged > limit - 0.0003
        assert len(kept) == sum(server.delivered.values()) > 0


def test_more_money_goes_on_where_the_last_stopped(tmp_path: Path) -> None:
    asked = questions(100)
    with FaultServer() as server, Store(tmp_path / "s.sqlite") as store:
        small = Budget(0.001)
        with pytest.raises(BudgetError):
            collect(asked, backend(server.base_url), store, small)
        before = sum(server.calls.values())
        done = collect(asked, backend(server.base_url), store, Budget(1.0, small.charged))
        assert 0 < before < 100 == sum(server.calls.values())
        assert (done.totals.stored, done.totals.asked) == (before, 100 - before)
        assert done.totals.cost_usd == pytest.approx(server.charged)


def test_what_may_have_been_charged_is_recorded_before_it_is() -> None:
    noted: list[float] = []
    budget = Budget(1.0, 0.25, noted.append)
    for _ in range(100):
        assert budget.reserve(0.005)
        assert noted[-1] >= budget.charged + budget.reserved
        budget.settle(0.005, 0.002)
    assert budget.charged == pytest.approx(0.45)
    assert len(noted) < 40, "the record is ahead of the books, not written for every request"
    budget.close()
    assert noted[-1] == pytest.approx(0.45)
    assert not budget.reserve(0.6)
    assert budget.reserve(0.5)


def test_requests_in_flight_count() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.6)
    assert not budget.reserve(0.6)
    budget.settle(0.6, 0.1)
    assert budget.reserve(0.6)
    budget.settle(0.6, 0.6, lost=True)
    assert (budget.charged, budget.lost) == (pytest.approx(0.7), 0.6)


def test_tokens_are_counted_here_where_the_server_does_not() -> None:
    asked = questions(2)
    script = lambda key, attempt: "no_usage" if "Question 0:" in key else "absurd_usage"  # noqa: E731
    with FaultServer(script) as server:
        made = backend(server.base_url)
        answers = ask(made, asked, budget := Budget(None))
    assert made.took()["tokens_counted_here"] == 2
    for request in asked:
        answer = answers[request.hash]
        assert isinstance(answer, Generated)
        words = len(request.context.split())
        assert words <= answer.prompt_tokens <= 2 * words
    # the account takes the most that they can have been
    assert budget.charged >= server.charged
