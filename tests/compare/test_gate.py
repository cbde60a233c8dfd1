"""The gate: what closes it, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.compare.gate import Gate, judge, parse_pairs
from harness.errors import UserError
from harness.report import gate as report
from tests.compare.support import Row, Task, write_run
from tests.test_cli import exit_code

RIGHT = (np.random.default_rng(0).random(2000) < 0.6).astype(float)


def scores(up: int = 0, down: int = 0, n: int = 2000) -> list[float]:
    new = RIGHT[:n].copy()
    new[np.flatnonzero(RIGHT[:n] == 0)[:up]] = 1
    new[np.flatnonzero(RIGHT[:n] == 1)[:down]] = 0
    return new.tolist()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_run(tmp_path / "base", {"mmlu": Row({"t": Task(scores())}), "arc": Row({"u": Task(scores())})})


def run(folder: Path, mmlu: list[float], arc: list[float] | None = None, **receipt: object) -> Path:
    rows = {"mmlu": Row({"t": Task(mmlu)})} | ({"arc": Row({"u": Task(arc)})} if arc is not None else {})
    return write_run(folder, rows, **receipt)


def reasons(gate: Gate) -> list[str]:
    return [f"{check.row}: {check.reason}" for check in gate.failures]


def test_a_like_run_passes(base: Path, tmp_path: Path) -> None:
    gate = judge(run(tmp_path / "new", scores(4, 4), scores(0, 6)), base, floors={"mmlu": 50})
    assert gate.open, reasons(gate)
    assert [check.rule for check in gate.checks][-2:] == ["no worse than base by more than 1"] * 2


def test_the_interval_decides_and_not_the_point(base: Path, tmp_path: Path) -> None:
    # 0.75 points lower: within the margin as a point, but the interval reaches beyond it
    gate = judge(run(tmp_path / "new", scores(85, 100), scores()), base)
    assert [check.status for check in gate.failures] == ["undecided"]
    assert "the interval holds -1; about" in reasons(gate)[0]
    assert judge(tmp_path / "new", base, lenient=True).open
    assert judge(tmp_path / "new", base, margins={"MMLU": 3}).open


def test_a_worse_run_fails_with_one_line(base: Path, tmp_path: Path) -> None:
    gate = judge(run(tmp_path / "new", scores(0, 100), scores()), base, lenient=True)
    (reason,) = reasons(gate)
    assert reason.startswith("mmlu: -5.00 (")
    assert reason.endswith("worse by more than 1")
    assert all("\n" not in line for line in report.lines(gate))


def test_missing_and_failed_benchmarks_are_failures(base: Path, tmp_path: Path) -> None:
    gate = judge(run(tmp_path / "new", scores(), skipped={"arc": "no\ndata"}), base, floors={"gsm8k": 10})
    assert reasons(gate) == [
        "arc: it was not measured: no data",
        "gsm8k: the run has no such row. Known: mmlu.",
        "arc: it was not measured: no\ndata",
    ]
    assert reasons(judge(run(tmp_path / "cut", scores(), scores(), status="running"))) == [
        "run: its status is running: the scores may be an earlier run's"
    ]
    (tmp_path / "cut" / "scores.json").unlink()
    assert reasons(judge(tmp_path / "cut", base)) == ["run: the run has no scores: its status is running"]


def test_a_value_that_is_no_number_fails(tmp_path: Path) -> None:
    folder = run(tmp_path / "new", scores())
    data = json.loads((folder / "scores.json").read_text())
    data["benchmarks"]["mmlu"]["value"] = float("nan")
    (folder / "scores.json").write_text(json.dumps(data))
    assert reasons(judge(folder, floors={"mmlu": 10})) == [
        "mmlu: its value is nan over 2000 docs",
        "mmlu: nan ± 1.00 over 2,000 docs is below 10",
    ]


def test_another_protocol_is_no_baseline(base: Path, tmp_path: Path) -> None:
    row = Row({"t": Task(scores())})
    row.changes = {"shots": 0}
    gate = judge(write_run(tmp_path / "new", {"mmlu": row, "arc": Row({"u": Task(scores())})}), base)
    assert reasons(gate) == ["mmlu: measured by another protocol: mmlu.shots: 5 / 0"]


def test_exit_codes_and_files(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = run(tmp_path / "good", scores(), scores()), run(tmp_path / "bad", scores(0, 200), scores())
    assert exit_code("gate", str(good), "--baseline", str(base), "--min", "mmlu=50") == 0
    assert "good passes against base: 4 checks" in capsys.readouterr().out
    files = ["--junit", str(tmp_path / "ci" / "gate.xml"), "--summary", str(tmp_path / "ci" / "gate.md")]
    assert exit_code("gate", str(bad), "--baseline", str(base), "--margin", "2", "--min", "arc=99", *files) == 1
    suite = ElementTree.parse(tmp_path / "ci" / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [
        "arc at least 99",
        "mmlu no worse than base by more than 2",
    ]
    assert "| **mmlu** |" in (tmp_path / "ci" / "gate.md").read_text()
    assert exit_code("gate", str(tmp_path / "nothing")) == 2
    assert exit_code("gate", str(good), "--min", "mmlu") == 2
    assert exit_code("gate", str(good), "--margin", "gsm8k=1") == 2


def test_hostile_names_do_no_harm(tmp_path: Path) -> None:
    evil = "m|<script>alert(1)</script>\x1b[31m\u202e]]>&\x00"
    gate = judge(run(tmp_path / "new", scores(), skipped={evil: evil}), floors={evil: 10})
    ElementTree.fromstring(report.junit(gate))
    for text in (report.junit(gate), report.markdown(gate), *report.lines(gate)):
        assert not {"\x1b", "\u202e", "\x00"} & set(text)
    assert "<script>" not in report.junit(gate)
    assert "<script>" not in report.markdown(gate).replace("\\<script", "")


def test_pairs_of_an_option() -> None:
    assert parse_pairs("--min", ["mmlu=60", "GSM8K=1.5"]) == {"mmlu": 60.0, "GSM8K": 1.5}
    for wrong in ("mmlu", "mmlu=", "=3", "mmlu=nan", "mmlu=high"):
        with pytest.raises(UserError, match="--min"):
            parse_pairs("--min", [wrong])
