"""Portions of work: everything once, prefixes together, what came back first."""

from __future__ import annotations

import pytest

from harness.backends.replicas.chunks import Work
from harness.plan.request import Message, Score


def requests(*sizes: int) -> list[Score]:
    """So many requests of each prefix, interleaved as in a plan of several tasks."""
    rows = [(i, Score(f"prefix {p}", f"q{i}", ("a",))) for p, n in enumerate(sizes) for i in range(n)]
    return [request for _, request in sorted(rows, key=lambda row: row[0])]


@pytest.mark.parametrize("sizes", [(1,), (10,), (300, 300), (5,) * 40, (1000, 3, 3)])
@pytest.mark.parametrize("replicas", [1, 2, 7])
def test_every_request_is_handed_out_once(sizes: tuple[int, ...], replicas: int) -> None:
    work = Work(requests(*sizes), replicas)
    seen: list[int] = []
    while work:
        chunk = work.take()
        assert chunk.requests
        seen += chunk.requests
    assert sorted(seen) == list(range(sum(sizes)))


def test_a_prefix_stays_in_one_portion_where_it_fits() -> None:
    work = Work(requests(*(40,) * 10), 2)
    homes: dict[str, set[int]] = {}
    number = 0
    while work:
        for request in work.take().requests.values():
            homes.setdefault(request.prefix, set()).add(number)
        number += 1
    assert number >= 3
    assert all(len(portions) == 1 for portions in homes.values())


def test_portions_shrink_so_that_all_replicas_end_together() -> None:
    work = Work(requests(2000), 4)
    sizes = []
    while work:
        sizes.append(len(work.take().requests))
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert sizes[0] == 250
    assert sizes[-1] <= 96  # the last one may take a short rest along


def test_few_requests_are_for_all_replicas() -> None:
    work = Work(requests(8), 4)
    assert len(work.take().requests) == 1


def test_what_a_dead_replica_left_comes_first() -> None:
    work = Work(requests(500), 2)
    chunk = work.take()
    for i in list(chunk.requests)[:-3]:
        del chunk.requests[i]
    work.give_back(chunk)
    again = work.take()
    assert again is chunk
    assert (len(again.requests), again.failures) == (3, 1)


def test_turns_of_a_conversation_are_a_prefix() -> None:
    def asked(shot: int, question: int) -> Score:
        return Score("", "", ("a",), (Message("user", f"shot {shot}"), Message("user", f"question {question}")))

    work = Work([asked(i % 2, i) for i in range(300)], 1)
    first = work.take()
    assert len({request.messages[0].text for request in first.requests.values()}) == 1
