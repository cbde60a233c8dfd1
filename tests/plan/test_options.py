"""Options reach the functions that ask for them, and no others."""

from __future__ import annotations

import inspect
from typing import Any

from harness.plan.options import asked, bind


def plain(doc: Any) -> Any:
    return doc


def choosing(doc: Any, *, seed: int = 0, side: str = "left") -> tuple[Any, int, str]:
    return doc, seed, side


def test_an_option_reaches_the_function_that_asks_for_it() -> None:
    bound = bind({"process_docs": choosing, "filters": [{"fn": choosing}], "n": 5}, {"seed": 7, "other": 1})
    assert bound["process_docs"]("doc") == ("doc", 7, "left")
    assert bound["filters"][0]["fn"]("doc") == ("doc", 7, "left")
    assert bound["n"] == 5


def test_a_bound_function_takes_other_arguments_by_name() -> None:
    def custom(*, seed: int = 0, **others: Any) -> tuple[int, dict[str, Any]]:
        return seed, others

    assert bind(custom, {"seed": 7})(version=1.0) == (7, {"version": 1.0})


def test_a_function_that_asks_for_nothing_stays_itself() -> None:
    assert bind(plain, {"seed": 7}) is plain
    assert bind(choosing, {"other": 1}) is choosing
    assert asked(plain) == set()
    assert asked(choosing) == {"seed", "side"}


def test_the_source_of_a_bound_function_is_found() -> None:
    assert inspect.getsource(bind(choosing, {"seed": 7})) == inspect.getsource(choosing)
