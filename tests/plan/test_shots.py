import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plan import shots


@given(
    pool=st.integers(1, 40),
    n=st.integers(0, 10),
    seed=st.integers(0, 5),
    doc=st.text(max_size=5),
    banned=st.sets(st.integers(0, 39), max_size=8),
)
def test_shots_are_distinct_allowed_and_pure(pool: int, n: int, seed: int, doc: str, banned: set[int]) -> None:
    if n > len(set(range(pool)) - banned):
        with pytest.raises(ValueError, match="shots asked of"):
            shots.choose(pool, n, sampler="seeded", seed=seed, task="t", doc_id=doc, banned=banned)
        return
    for sampler in shots.SAMPLERS:
        chosen = [
            shots.choose(pool, n, sampler=sampler, seed=seed, task="t", doc_id=doc, banned=banned) for _ in range(2)
        ]
        assert chosen[0] == chosen[1]
        assert len(set(chosen[0])) == n
        assert not set(chosen[0]) & banned


def test_first_n_is_file_order_and_seeded_depends_on_the_doc() -> None:
    assert shots.choose(9, 3, sampler="first_n", seed=0, task="t", doc_id="1", banned={1}) == (0, 2, 3)
    drawn = {shots.choose(9, 3, sampler="seeded", seed=0, task="t", doc_id=str(i)) for i in range(20)}
    assert len(drawn) > 5
