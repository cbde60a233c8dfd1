from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backends.torch import packing
from harness.backends.torch.packing import Pack, make_pack, strips, tiles
from harness.backends.torch.trie import Stream, Trie

# few ids, so that sequences share much
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=12)


def lay_out(sequences: list[list[int]]) -> tuple[Stream, list[list[int]]]:
    """The stream, and for each sequence its places in it."""
    trie = Trie()
    ends = [trie.insert(np.asarray(s, np.int64)) for s in sequences]
    stream = trie.lay_out()
    return stream, [[end.index(d) for d in range(len(s))] for s, end in zip(sequences, ends, strict=True)]


@given(SEQUENCES)
def test_every_distinct_prefix_is_one_token_of_the_stream(sequences: list[list[int]]) -> None:
    stream, places = lay_out(sequences)
    prefixes = {tuple(s[:n]) for s in sequences for n in range(1, len(s) + 1)}
    assert len(stream) == len(prefixes)
    seen = {}
    for sequence, path in zip(sequences, places, strict=True):
        assert stream.tokens[path].tolist() == sequence
        assert stream.depth[path].tolist() == list(range(len(sequence)))
        for n, place in enumerate(path):
            assert seen.setdefault(place, tuple(sequence[: n + 1])) == tuple(sequence[: n + 1])
    assert len(seen) == len(stream)


@given(SEQUENCES)
def test_ancestors_are_the_tokens_before(sequences: list[list[int]]) -> None:
    stream, places = lay_out(sequences)
    for path in places:
        for n, place in enumerate(path):
            assert stream.ancestors(place).tolist() == path[:n]


@given(SEQUENCES)
def test_the_order_of_the_sequences_changes_nothing(sequences: list[list[int]]) -> None:
    one, _ = lay_out(sequences)
    other, _ = lay_out(sequences[::-1] + sequences)
    assert np.array_equal(one.tokens, other.tokens)
    assert np.array_equal(one.over, other.over)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEQUENCES, st.integers(1, 9), st.integers(1, 5), st.integers(1, 3))
def test_packs_see_exactly_the_ancestors(
    monkeypatch: pytest.MonkeyPatch, sequences: list[list[int]], size: int, block: int, worth: int
) -> None:
    monkeypatch.setattr(packing, "WORTH", worth)
    stream, _ = lay_out(sequences)
    path: list[int] = []  # places of the tokens that are kept, as the scorer keeps them
    for start in range(0, len(stream), size):
        pack = make_pack(stream, start, min(start + size, len(stream)))
        assert len(pack) <= size
        assert path == stream.ancestors(start).tolist()
        assert pack.path == len(path)
        keys = path + list(range(start, pack.stop))
        expected = [[k for k in keys if k in {*stream.ancestors(q).tolist(), q}] for q in range(start, pack.stop)]
        begins = [0] * len(path) + list(range(len(pack)))
        ends = pack.key_ends()
        dense = [[k for k, b, e in zip(keys, begins, ends, strict=True) if b <= q < e] for q in range(len(pack))]
        assert dense == expected
        assert tiled(pack, path, block) == expected
        assert stripped(pack, path, block) == expected
        path = path[: pack.keep_path] + [start + k for k in pack.keep.tolist()]
    assert path == []


def tiled(pack: Pack, path: list[int], size: int) -> list[list[int]]:
    """For each query, the keys of all tiles and of what is left of the strips; none may come twice."""
    seen: list[list[int]] = [[] for _ in range(len(pack))]
    found = list(strips(pack, size))
    for tile in tiles(found):
        for q in range(tile.start, tile.stop):
            seen[q] += path[: tile.keys]
    for strip in found:
        keys = path[: strip.path] + [pack.start + k for k in strip.inside.tolist()]
        rest = strip.seen_after(strip.dense)
        if strip.is_chain:
            assert keys[strip.dense :] == [pack.start + q for q in range(strip.start, strip.stop)]
            assert np.array_equal(rest, np.tri(strip.stop - strip.start))
        for q, row in zip(range(strip.start, strip.stop), rest, strict=True):
            seen[q] += keys[strip.path : strip.dense]
            seen[q] += [k for k, there in zip(keys[strip.dense :], row, strict=True) if there]
    assert all(len(set(keys)) == len(keys) for keys in seen)
    return [sorted(keys) for keys in seen]


def stripped(pack: Pack, path: list[int], size: int) -> list[list[int]]:
    """For each query, the keys that its strip shows it."""
    seen: list[list[int]] = []
    for strip in strips(pack, size):
        assert strip.start == len(seen)
        assert strip.stop - strip.start <= size
        assert (np.diff(pack.shared[strip.start : strip.stop]) >= -packing.WORTH).all()
        keys = path[: strip.path] + [pack.start + k for k in strip.inside.tolist()]
        assert len(set(keys)) == len(keys)
        assert strip.seen.shape == (strip.stop - strip.start, len(keys) - strip.free)
        for row in strip.seen:
            seen.append(keys[: strip.free] + [k for k, there in zip(keys[strip.free :], row, strict=True) if there])
    return seen


def test_a_strip_ends_where_a_long_path_is_left() -> None:
    first, second = [1] * 200, [2] * 200
    stream, _ = lay_out([[*first, 3, 4], second])
    pack = make_pack(stream, 200, len(stream))
    assert pack.path == 200
    assert [(s.start, s.stop, s.path) for s in strips(pack)] == [(0, 2, 200), (2, 130, 0), (130, 202, 0)]
