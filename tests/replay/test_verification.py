"""The tables of docs/verification.md: made of imported runs, and put in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.paths import project_root
from tests.replay import support, verification, verify
from tests.replay.verify import main, scored

ABOUT = {"model": "Someone-7B", "published_by_source": 12.5}


def test_rows_hold_the_counts_of_agreement(tmp_path: Path) -> None:
    rows = [{**support.GSM8K[0], "correct": False}, support.GSM8K[1]]
    file = scored(support.write(tmp_path, "gsm8k__m", rows, ABOUT), tmp_path / "runs", None)
    lines = verification.tables([file]).splitlines()
    assert "| GSM8K | Someone-7B | 2 | 50.00 | 0.00 | 12.5 | 1 of 2 | 50.00 | – | 1 of 2 |" in lines
    assert "| gsm8k__m | **gsm8k.extraction=flexible** | 1 | 2 |" in lines


def test_the_command_replaces_what_stands_between_the_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doc = tmp_path / "doc.md"
    doc.write_text(f"Before.\n{verification.BEGIN}\nold\n{verification.END}\nAfter.\n")
    file = support.write(tmp_path, "bbh_cot__m", support.BBH, ABOUT)
    assert main([str(file), "--runs", str(tmp_path / "runs"), "--write", str(doc)]) == 0
    assert "Every promise is kept." in capsys.readouterr().out
    text = doc.read_text()
    assert text.startswith(f"Before.\n{verification.BEGIN}\n\n| benchmark |")
    assert text.endswith(f"{verification.END}\nAfter.\n")
    assert "| BBH, Someone-7B: navigate | 1 | 100.00 | 100.00 | 1 of 1 | 100.00 |" in text
    assert "old" not in text
    doc.write_text("Nothing.")
    with pytest.raises(UserError, match="has no lines"):
        verification.write(doc, [])


def test_a_broken_promise_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "correct": not row["correct"]} for row in support.BBH]
    assert main([str(support.write(tmp_path, "bbh_cot__m", rows)), "--runs", str(tmp_path / "runs")]) == 1
    assert "0.00% of verdicts agree, promised 100.0%" in capsys.readouterr().out


def test_the_project_s_own_tables_have_every_row_of_text() -> None:
    text = (project_root() / "docs" / "verification.md").read_text(encoding="utf-8")
    tables = text.partition(verification.BEGIN)[2].partition(verification.END)[0]
    for name in ("MMLU-Pro", "BBH", "GSM8K", "MATH", "TheoremQA"):
        assert f"\n| {name} | " in tables


def test_nothing_to_verify_is_no_promise_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SHARED", tmp_path)
    doc = tmp_path / "doc.md"
    doc.write_text(f"{verification.BEGIN}\nkept\n{verification.END}\n")
    assert main(["--write", str(doc)]) == 2
    told = capsys.readouterr()
    assert "There are no published outputs" in told.err
    assert "promise" not in told.out
    assert "kept" in doc.read_text()
