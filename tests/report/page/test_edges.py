"""Runs that are not as they should be all give a page that makes sense."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.report.page import make_page
from tests.report.page.conftest import Visit
from tests.report.page.support import Sample, usual, write_run

Open = Callable[..., Visit]
Pages = Callable[[str, Callable[[Path], Sequence[Path]]], Path]


def empty(folder: Path) -> list[Path]:
    return [write_run(folder / "empty", {}, skipped={"gpqa": "no data"})]


def unfinished(folder: Path) -> list[Path]:
    run = usual(folder / "unfinished", changes={"status": "running", "finished": None})
    (run / "scores.json").unlink()
    return [run]


def failing(folder: Path) -> list[Path]:
    lost = [Sample(0.0, "", extracted="[none]", rule=None, unparsed=True, truncated=True) for _ in range(4)]
    return [write_run(folder / "failing", {"bbh": lost}, titles={"bbh": "BBH"}, skipped={"humaneval": "no sandbox"})]


def no_samples(folder: Path) -> list[Path]:
    run = usual(folder / "bare")
    shutil.rmtree(run / "samples")
    (run / "responses.parquet").unlink()
    return [run]


def single(folder: Path) -> list[Path]:
    return [write_run(folder / "single", {"gsm8k": [Sample(1.0)]}, titles={"gsm8k": "GSM8K"})]


def ten(folder: Path) -> list[Path]:
    name = "a-checkpoint-with-quite-a-long-name-step-{}000"
    return [usual(folder / name.format(i), shift=i) for i in range(10)]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (empty, ["gpqa was not measured: no data", "There are no samples to show"]),
        (unfinished, ["Not finished", "There are no samples to show"]),
        (failing, ["humaneval was not measured: no sandbox", "100.0 %", "4 of 4 docs"]),
        (no_samples, ["samples of 3 tasks are not in its folder", "32.1"]),
        (single, ["100.0", "1 of 1 docs"]),
        (ten, ["10 runs side by side", "step-9000", "22 of 22 docs"]),
    ],
)
def test_every_run_makes_a_page(
    visit: Open, pages: Pages, write: Callable[[Path], Sequence[Path]], expected: list[str]
) -> None:
    seen = visit(pages(write.__name__, write))
    if seen.page.locator("#filter").count():
        seen.settled()
    text = seen.page.inner_text("main")
    for part in expected:
        assert part in text
    assert "nan" not in text.lower().split()
    assert seen.said == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_ten_runs_fit_on_paper_and_are_told_apart(visit: Open, pages: Pages) -> None:
    page = visit(pages("ten", ten), viewport={"width": 1032, "height": 700}).settled().page
    marks = page.locator("#charts .legend .mark")
    assert len(set(marks.evaluate_all("all => all.map(mark => getComputedStyle(mark).color)"))) == 10
    page.emulate_media(media="print")
    right = page.locator("table:visible").evaluate_all("all => all.map(t => t.getBoundingClientRect().right)")
    assert max(right) <= 1032


def test_other_protocols_are_compared_and_said(tmp_path: Path) -> None:
    first, second = usual(tmp_path / "first"), usual(tmp_path / "second", shift=1)
    scores = json.loads((second / "scores.json").read_text())
    scores["benchmarks"]["gsm8k"]["form"] = "loglikelihood"
    (second / "scores.json").write_text(json.dumps(scores))
    assert "Different protocols, compared all the same: GSM8K: form" in make_page([first, second])


def test_runs_without_a_common_row_say_so(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", {"gsm8k": [Sample(1.0)]})
    second = write_run(tmp_path / "second", {"mmlu": [Sample(1.0)]})
    assert "first and second share no row" in make_page([first, second])


def test_what_is_no_run_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path)])
    assert stopped.value.code == 2
    assert "is not a finished run" in capsys.readouterr().err
    run = usual(tmp_path / "run")
    with pytest.raises(UserError, match="given twice"):
        make_page([run, run])


def test_the_command_names_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = usual(tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(run)])
    assert stopped.value.code == 0
    assert f"wrote {run / 'report.html'} (" in capsys.readouterr().out
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(run), "--output", str(tmp_path / "no" / "page.html")])
    assert stopped.value.code == 2


def test_a_page_is_the_same_every_time(tmp_path: Path) -> None:
    run = usual(tmp_path / "run")
    assert make_page([run]) == make_page([run])
