"""Run folders side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.compare import Comparison, Difference, compare
from harness.compare.corpus import bleu
from harness.errors import UserError
from harness.report import comparison as report
from tests.compare.support import Row, Task, write_run

RNG = np.random.default_rng(0)
RIGHT = (RNG.random(600) < 0.6).astype(float)


def changed(scores: np.ndarray[Any, Any], up: int, down: int) -> list[float]:
    """Verdicts of a second run: so many wrong ones right, and so many right ones wrong."""
    new = scores.copy()
    new[np.flatnonzero(scores == 0)[:up]] = 1
    new[np.flatnonzero(scores == 1)[:down]] = 0
    return new.tolist()


def one(found: Comparison) -> Difference:
    (row,) = found.pairs[0].rows
    return row


def two(folder: Path, first: Row, second: Row, **options: Any) -> Comparison:
    runs = [write_run(folder / "a", {"mmlu": first}), write_run(folder / "b", {"mmlu": second})]
    return compare(runs, **options)


def mmlu(scores: Sequence[float], **more: Any) -> Row:
    return Row({"t": Task(scores, **more)})


def test_a_row_is_joined_by_doc(tmp_path: Path) -> None:
    ids = [f"q{i}" for i in range(600)]
    order = RNG.permutation(600)[:500]
    second = np.array(changed(RIGHT, 30, 10))
    found = two(
        tmp_path, mmlu(RIGHT.tolist(), ids=ids), mmlu(second[order].tolist(), ids=[ids[i] for i in order])
    )  # fmt: skip
    row = one(found)
    assert (row.n, row.asked) == (500, (600, 500))
    assert row.difference == pytest.approx(100 * (second[order] - RIGHT[order]).mean())
    assert row.gained == (second[order] > RIGHT[order]).sum()
    assert row.lost == (second[order] < RIGHT[order]).sum()
    assert row.test == "McNemar exact"


@pytest.mark.parametrize(
    ("up", "down", "verdict"), [(60, 10, "better"), (10, 60, "worse"), (3, 3, "tied"), (150, 150, "too few docs")]
)
def test_verdicts(tmp_path: Path, up: int, down: int, verdict: str) -> None:
    row = one(two(tmp_path, mmlu(RIGHT.tolist()), mmlu(changed(RIGHT, up, down))))
    assert row.verdict == verdict
    if verdict == "too few docs":
        assert row.docs_for_margin is not None
        assert row.docs_for_margin > 600
    if verdict == "tied":
        assert row.detectable is not None
        assert row.detectable < 5


def test_the_margin_says_what_is_too_few(tmp_path: Path) -> None:
    assert one(two(tmp_path, mmlu(RIGHT.tolist()), mmlu(changed(RIGHT, 12, 12)), margin=1.0)).verdict == "too few docs"


def test_holm_counts_the_rows(tmp_path: Path) -> None:
    rows = {f"r{i}": Row({f"t{i}": Task(RIGHT.tolist())}) for i in range(10)}
    others = {f"r{i}": Row({f"t{i}": Task(changed(RIGHT, 20 if i == 0 else 5, 5))}) for i in range(10)}
    found = compare([write_run(tmp_path / "a", rows), write_run(tmp_path / "b", others)]).pairs[0].rows
    assert found[0].p is not None
    assert found[0].p < 0.05
    assert found[0].p_adjusted == pytest.approx(10 * found[0].p)
    assert all(row.verdict != "better" for row in found[1:])


def test_docs_of_one_passage_are_one_unit(tmp_path: Path) -> None:
    clusters = [f"passage {i // 4}" for i in range(600)]
    row = one(two(tmp_path, mmlu(RIGHT.tolist(), cluster=clusters), mmlu(changed(RIGHT, 60, 10), cluster=clusters)))
    assert row.units == 150
    assert row.test == "paired bootstrap by cluster"
    # docs that share nothing are not a passage of their own
    alone = one(compare([write_run(tmp_path / "c", {"m": mmlu(RIGHT.tolist(), cluster=[""] * 600)}),
                         write_run(tmp_path / "d", {"m": mmlu(RIGHT.tolist(), cluster=[""] * 600)})]))  # fmt: skip
    assert alone.units == 600


def test_a_row_of_members_has_their_weights_and_shared_problems(tmp_path: Path) -> None:
    ids = [f"P/{i}" for i in range(100)]

    def rows(shift: int) -> dict[str, Row]:
        plain, plus = RIGHT[:100].copy(), RIGHT[:100].copy()
        other = RIGHT[100:200].copy()
        plain[:shift], plus[:shift] = 1.0, 1.0
        return {
            "plain": Row({"plain": Task(plain.tolist(), ids=ids)}),
            "plus": Row({"plus": Task(plus.tolist(), ids=ids)}),
            "other": Row({"other": Task(other.tolist())}),
            "all": Row({}, members=("plain", "plus", "other"), weights={"plain": 0.25, "plus": 0.25, "other": 0.5}),
        }

    found = compare([write_run(tmp_path / "a", rows(0)), write_run(tmp_path / "b", rows(30))]).pairs[0].rows
    by_row = {row.row: row for row in found}
    moved = by_row["plain"].difference
    assert by_row["all"].difference == pytest.approx(moved / 2)
    # each problem once, though two members ask it
    assert by_row["all"].units == 200
    assert by_row["all"].n == 300
    assert by_row["all"].stderr == pytest.approx(by_row["plain"].stderr / 2, rel=0.01)  # type: ignore[operator]


def test_members_without_recorded_weights_count_the_same(tmp_path: Path) -> None:
    def rows(up: int) -> dict[str, Row]:
        return {
            "a": Row({"a": Task(changed(RIGHT[:200], up, 0))}),
            "b": Row({"b1": Task(RIGHT[:50].tolist()), "b2": Task(RIGHT[:150].tolist())}),
            "all": Row({}, members=("a", "b")),
        }

    found = compare([write_run(tmp_path / "x", rows(0)), write_run(tmp_path / "y", rows(20))]).pairs[0].rows
    assert {row.row: row.difference for row in found}["all"] == pytest.approx(100 * 20 / 200 / 2)


def test_other_protocols_are_refused_and_named(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {"mmlu": mmlu(RIGHT.tolist())})
    shots = mmlu(RIGHT.tolist())
    shots.changes = {"shots": 0, "options": {"prompt": "plain"}}
    second = write_run(tmp_path / "b", {"mmlu": shots})
    with pytest.raises(UserError, match=r"MMLU: options\.prompt: not recorded / plain; MMLU: mmlu\.shots: 5 / 0"):
        compare([first, second])
    found = compare([first, second], force=True)
    assert "MMLU: mmlu.shots: 5 / 0" in found.pairs[0].differs
    assert "Different protocols, compared all the same: MMLU: mmlu.shots: 5 / 0" in report.render(
        found, "json"
    ) + "\n".join(report.grids(found)[0].notes)


def test_other_prompts_are_another_protocol(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MMLU: the prompts of 600 of 600 docs"):
        two(tmp_path, mmlu(RIGHT.tolist()), mmlu(RIGHT.tolist(), prompt="other"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"config": {"generation": {"temperature": 0.7}}}, "generation.temperature: not recorded / 0.7"),
        ({"prompt": {"chat": True}}, "prompt.chat: not recorded / True"),
    ],
)
def test_settings_that_move_scores(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    row = mmlu(RIGHT.tolist())
    row.changes = {"form": "generation"}
    with pytest.raises(UserError, match=text.replace(".", r"\.")):
        compare([write_run(tmp_path / "a", {"mmlu": row}), write_run(tmp_path / "b", {"mmlu": row}, **change)])


def test_what_cannot_be_compared_at_all(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {"mmlu": mmlu([1.0, 0.0])})
    other = write_run(tmp_path / "b", {"bbh": mmlu([1.0, 0.0])})
    with pytest.raises(UserError, match="a and b share no row"):
        compare([first, other])
    with pytest.raises(UserError, match="takes two runs"):
        compare([first])
    with pytest.raises(UserError, match="a is given twice"):
        compare([first, first])
    (other / "samples" / "t.parquet").unlink()
    with pytest.raises(UserError, match=r"has no samples/t\.parquet"):
        compare([other, write_run(tmp_path / "c", {"bbh": mmlu([1.0, 0.0])})])


def test_bleu_is_sacrebleus_and_compared_as_a_whole(tmp_path: Path) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    words = ["the", "a", "small", "river", "town", "boat", "old", "stone", "bridge", "under", "over", "near", "quiet"]
    target = [" ".join(RNG.choice(words, 12)) for _ in range(150)]

    def said(share: float) -> list[str]:
        texts = []
        for text in target:
            kept = [word if RNG.random() < share else str(RNG.choice(words)) for word in text.split()]
            texts.append(" ".join(kept))
        return texts

    worse, better = said(0.7), said(0.85)
    nothing: list[float | None] = [None] * 150
    tasks = [Task(nothing, raw=texts, target=target, entry={"tokenizer": "13a"}) for texts in (worse, better)]
    rows = [Row({"en_de": task}, "macro", "bleu", {"unit": "points"}) for task in tasks]
    row = one(two(tmp_path, *rows))
    expected = [sacrebleu.corpus_bleu(texts, [target]).score for texts in (worse, better)]
    assert (row.first, row.second) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert row.verdict == "better"
    assert row.gained is None
    assert row.test == "paired bootstrap of the whole set"


def test_bleu_is_smoothed_as_sacrebleu_does() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    for text, target in (("a b c", "a b d e"), ("x", "y"), ("a b c d e", "a b c d e"), ("", "a b")):
        score = sacrebleu.corpus_bleu([text], [[target]])
        counts = np.array([score.sys_len, score.ref_len, *score.counts, *score.totals], dtype=float)
        assert float(bleu(counts)) == pytest.approx(score.score, abs=1e-9)


def test_one_baseline_and_a_matrix(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, {"mmlu": mmlu(changed(RIGHT, up, 0))})
        for name, up in (("a", 0), ("b", 5), ("c", 60))
    ]
    many = compare(runs)
    assert [(pair.first, pair.second) for pair in many.pairs] == [("a", "b"), ("a", "c")]
    matrix = compare(runs, matrix=True)
    assert len(matrix.pairs) == 3
    (grid,) = report.grids(matrix)
    shown = [[cell.text for cell in row.cells] for row in grid.rows]
    assert shown[0] == ["a", "–", "-0.8 tied", "-10.0 worse"]
    assert shown[2] == ["c", "+10.0 better", "+9.2 better", "–"]


def test_flips_show_prompt_target_and_both_answers(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {"mmlu": mmlu([1.0, 0.0, 1.0], raw=["x", "y", "z"])})
    second = write_run(tmp_path / "b", {"mmlu": mmlu([1.0, 1.0, 0.0], raw=["x", "Y!", "Z!"])})
    lost, won = compare([first, second], samples=5).pairs[0].flips
    assert (lost.won, lost.doc_id, lost.first, lost.second) == (False, "2", "z", "Z!")
    assert (won.won, won.doc_id, won.prompt, won.target) == (True, "1", "p t 1?", "yes")
    (first / "responses.parquet").unlink()
    assert compare([first, second], samples=5).pairs[0].flips[0].prompt is None
    assert len(compare([first, second], samples=1).pairs[0].flips) == 2


def test_ten_runs_of_100_000_samples_take_seconds(tmp_path: Path) -> None:
    """The whole size is a matter of bench/compare.py; here a tenth of it must not take long either."""
    rng = np.random.default_rng(1)
    right = rng.random(10_000)
    runs = []
    for i in range(10):
        scores = (right + rng.normal(0, 0.1, 10_000) > 0.4).astype(float)
        rows = {f"r{k}": Row({f"t{k}": Task(scores[k::5].tolist())}) for k in range(5)}
        runs.append(write_run(tmp_path / f"run{i}", rows))
    start = time.monotonic()
    assert len(compare(runs).pairs) == 9
    assert time.monotonic() - start < 10


def test_json_is_the_comparison(tmp_path: Path) -> None:
    found = two(tmp_path, mmlu(RIGHT.tolist()), mmlu(changed(RIGHT, 5, 5)), samples=1)
    data = json.loads(report.render(found, "json"))
    assert data["pairs"][0]["rows"][0]["verdict"] == "tied"
    assert len(data["pairs"][0]["flips"]) == 2
