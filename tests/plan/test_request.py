from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.plan import Generate, Message, Sampling, Score


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_hash_ignores_where_the_shared_prefix_ends(text: str, place: int) -> None:
    assert Score(text[:place], text[place:], ("a",)).hash == Score("", text, ("a",)).hash
    assert Generate(text[:place], text[place:], ("x",), 5).hash == Generate(text, "", ("x",), 5).hash


def test_hash_covers_what_changes_the_answer() -> None:
    base = Generate("", "q", ("\n",), 16, Sampling(temperature=0.7, seed=1))
    changed = [
        replace(base, query="q "),
        replace(base, stop=("\n\n",)),
        replace(base, max_tokens=17),
        replace(base, sampling=replace(base.sampling, temperature=0.8)),
        replace(base, sampling=replace(base.sampling, seed=2)),
        replace(base, sampling=Sampling()),
        replace(base, messages=(Message("user", "q"),)),
        replace(base, messages=(Message("system", "q"),)),
        replace(base, messages=(Message("user", "q"), Message("assistant", ""))),
    ]
    assert len({base.hash, *(c.hash for c in changed)}) == len(changed) + 1


def test_hash_leaves_out_what_does_not_change_it() -> None:
    greedy = Generate("", "q", ("a", "b"), 16)
    assert greedy.hash == replace(greedy, stop=("b", "a")).hash
    assert greedy.hash == replace(greedy, sampling=Sampling(seed=9, top_p=0.5)).hash


def test_hash_tells_score_from_generate_and_border_from_border() -> None:
    assert Score("", "q", ()).hash != Generate("", "q", (), 1).hash
    assert Score("", "q", ("ab",)).hash != Score("", "q", ("a", "b")).hash


def test_lone_surrogates_do_not_stop_the_plan() -> None:
    assert Score("", "\ud800", ("a",)).hash != Score("", "\ud801", ("a",)).hash
