from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.backends.base import Response
from harness.collect import Store, collect
from harness.errors import BackendError
from harness.plan import Generate, Request, Score
from tests.conftest import RuleBackend, rule_answer

REQUESTS: list[Request] = [Score("p", str(i), ("a", "b")) for i in range(40)]
REQUESTS += [Generate("p", str(i), ("\n",), 8) for i in range(10)]


def test_answers_everything_once(tmp_path: Path, rule_backend: RuleBackend) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        first = collect([*REQUESTS, *REQUESTS[:5]], rule_backend, store)
        second = collect(REQUESTS, rule_backend, store)
    assert first.responses == second.responses == {r.hash: rule_answer(r) for r in REQUESTS}
    assert sorted(rule_backend.asked) == sorted(r.hash for r in REQUESTS)
    assert (first.totals.asked, first.totals.stored) == (50, 0)
    assert (second.totals.asked, second.totals.stored) == (0, 50)
    assert first.totals.cost_usd == pytest.approx(0.05)
    assert second.totals.cost_usd == pytest.approx(0.05)


class Failing(RuleBackend):
    """Breaks after some batches."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        super().__init__()
        self.after, self.error = after, error

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for i, batch in enumerate(super().answer(requests)):
            if i == self.after:
                raise self.error("broken")
            yield batch


@pytest.mark.parametrize("error", [BackendError, KeyboardInterrupt, MemoryError])
def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path, error: type[BaseException]) -> None:
    failing, whole = Failing(3, error), RuleBackend()
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(error):
            collect(REQUESTS, failing, store)
        collected = collect(REQUESTS, whole, store)
    assert collected.totals.stored == 3 * failing.batch
    assert set(whole.asked).isdisjoint(failing.asked[: 3 * failing.batch])


class Forgetful(RuleBackend):
    """Leaves the last batch out."""

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        yield from list(super().answer(requests))[:-1]


def test_a_request_without_an_answer_is_a_failure(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(BackendError, match="left 1 of 50 requests unanswered"):
        collect(REQUESTS, Forgetful(), store)


def test_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, rule_backend: RuleBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        collect(REQUESTS, rule_backend, store)
    assert "asking: 50/50 requests" in capsys.readouterr().err
