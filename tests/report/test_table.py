import csv
import io
import json
from typing import Any

import pytest

from harness.errors import UserError
from harness.report import load_published, make_table
from harness.report.render import FORMATS, render, terminal
from harness.report.table import RunScores, Table

NASTY = "run|<script>alert(1)</script>\x1b[31m\u202egnp.\n& $x_1"


def bench(title: str, **changes: Any) -> dict[str, Any]:
    entry = {
        "title": title, "value": 0.5, "stderr": 0.01, "n": 200, "metric": "acc", "filter": "none", "shots": 5,
        "unit": "share", "sample_data": False, "complete": True, "unparsed": 0.0,
    }  # fmt: skip
    return {**entry, **changes}


def run(name: str = "mine", kind: str = "base", **benchmarks: dict[str, Any]) -> RunScores:
    receipt = {"model": {"model": "m", "kind": kind, "dtype": "float32"}}
    return RunScores(name, receipt, {"benchmarks": benchmarks, "skipped": {"gpqa": "no data"}})


def table(*runs: RunScores) -> Table:
    return make_table(load_published(), runs, "Qwen2-72B")


def test_the_published_table_is_whole() -> None:
    published = load_published()
    assert [c.model for c in published.columns][-1] == "Qwen2-72B"
    assert len(published.columns) == 6
    assert len(published.rows) == 21
    assert sum(v is None for row in published.rows for v in row.values.values()) == 3
    assert all(c.source and c.protocol and c.architecture and c.params for c in published.columns)
    by_name = {row.benchmark: row.values for row in published.rows}
    plus = by_name["EvalPlus"]["Qwen2-72B"]
    assert plus == 65.4
    assert by_name["Multi-Translation"]["Mixtral-8x22B"] == 23.3


def test_measured_cells_stand_in_their_rows() -> None:
    made = table(run(mmlu=bench("MMLU", value=0.8), own=bench("My task")))
    lines = {line.title: line for line in made.lines}
    cell = lines["MMLU"].measured[0]
    assert cell is not None
    assert (cell.value, cell.n) == (80.0, 200)
    assert cell.difference == pytest.approx(80.0 - 84.2)
    assert lines["BBH"].measured == (None,)
    assert lines["My task"].group == "Other"
    assert "gpqa was not measured: no data" in made.remarks[1]


def test_sample_and_limited_data_cannot_be_mistaken() -> None:
    made = table(run(mmlu=bench("MMLU", sample_data=True, complete=False), bbh=bench("BBH", complete=False)))
    cells = {line.title: line.measured[0] for line in made.lines if line.measured[0]}
    assert cells["MMLU"].difference is None
    assert "sample docs" in cells["MMLU"].marks[0]
    assert "only part of the docs" in cells["BBH"].marks[0]
    text = render(made, "md")
    assert "(n=200)\\*" in text
    assert "\\* sample docs" in text


def test_an_instruct_model_is_remarked() -> None:
    assert "not comparable" in table(run(kind="instruct")).remarks[0]


def test_unknown_reference_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"table\.reference = Qwen2-7B"):
        make_table(load_published(), [], "Qwen2-7B")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_escapes_what_others_wrote(form: str) -> None:
    if form == "html":
        pytest.importorskip("great_tables")
    text = render(table(run(NASTY, mmlu=bench("MMLU"))), form)
    assert "\x1b" not in text
    assert "84.2" in text
    if form != "json":
        assert "\u202e" not in text
    if form in ("md", "html"):
        assert "<script>" not in text.replace("\\<script", "")
    if form == "md":
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_csv_cells_cannot_be_formulas() -> None:
    text = render(table(run("=1+1", mmlu=bench("MMLU"), t=bench("@SUM(A1)"))), "csv")
    rows = list(csv.reader(io.StringIO(text)))
    assert "'=1+1 value" in rows[0]
    assert any(row[1] == "'@SUM(A1)" for row in rows)
    assert len({len(row) for row in rows}) == 1


def test_json_is_the_table() -> None:
    data = json.loads(render(table(run(mmlu=bench("MMLU"))), "json"))
    assert data["runs"] == ["mine"]
    assert len(data["lines"]) == 21


def test_terminal_shows_markup_as_text() -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal(table(run("[red]x[/red]", mmlu=bench("MMLU")))))
    assert "[red]x[/red]" in console.export_text()


def cell_of(made: Table, title: str, run_number: int = 0) -> Any:
    return next(line for line in made.lines if line.title == title).measured[run_number]


def test_the_best_of_the_comparable_figures_is_marked() -> None:
    good = run("good", mmlu=bench("MMLU", value=0.9), bbh=bench("BBH", value=0.824, shots=3, form="generation"))
    lesser = run("sampled", mmlu=bench("MMLU", value=0.95, sample_data=True, complete=False))
    made = table(good, lesser, run("chatty", "instruct", mmlu=bench("MMLU", value=0.99)))
    lines = {line.title: line for line in made.lines}
    assert lines["MMLU"].best == (6,)
    # figures that look the same are both the best
    assert lines["BBH"].best == (5, 6)
    assert lines["GSM8K"].best == (5,)
    text = render(made, "md")
    assert "**90.0 ± 1.0 (n=200)**" in text
    assert "**82.4** |" in text
    assert r"\textbf{82.4}" in render(made, "latex")
    assert render(made, "csv").splitlines()[1].endswith(",good")


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"value": 0.84}, "base", "reproduced (-0.2 within ±2.5)"),
        ({"value": 0.80}, "base", "lower (-4.2 beyond ±2.5)"),
        ({"value": 0.88}, "base", "higher (+3.8 beyond ±2.5)"),
        ({}, "instruct", "not comparable: an instruct model, and the published columns are base models"),
        ({"form": "generation"}, "base", "not comparable: generated answers, published by log-likelihoods"),
        ({"shots": 0}, "base", "not comparable: 0 shots, published with 5"),
        ({"sample_data": True}, "base", "not comparable: sample docs, not the real set"),
        ({"stderr": 0.1, "n": 20, "of": 14042}, "base", "not comparable: 20 of 14042 docs leave ±20.1"),
        ({"stderr": None}, "base", "not comparable: too few docs for a standard error"),
    ],
)
def test_verdicts_on_the_published_figure(changes: dict[str, Any], kind: str, expected: str) -> None:
    made = make_table(load_published(), [run("mine", kind, mmlu=bench("MMLU", **changes))], "Qwen2-72B", verdicts=True)
    assert cell_of(made, "MMLU").verdict == expected
    assert expected.split("(")[0] in render(made, "md").replace("\\", "")


def test_a_figure_beside_nothing_is_not_comparable() -> None:
    made = make_table(
        load_published(), [run(p=bench("MMLU-Pro", form="generation"), own=bench("My task"))], "DeepSeek-V2"
    )
    assert cell_of(made, "MMLU-Pro").verdict == "not comparable: DeepSeek-V2 has no published figure"
    assert cell_of(made, "My task").verdict == "not comparable: nothing was published"


def test_footnotes_name_choices_shots_and_forms() -> None:
    entry = bench("GSM8K", shots=8, form="generation", options={"exemplars": "wei", "extraction": "strict"})
    made = table(run(gsm8k=entry, arc=bench("ARC-C", shots=25, form="generation"), n=bench("MMLU", n=200, of=14042)))
    notes = "\n".join(made.footnotes)
    assert any("protocol choices: GSM8K exemplars = wei, extraction = strict" in text for text in made.remarks)
    assert "GSM8K: asked with 8 shots, published with 4" in notes
    assert "ARC-C: measured by generated answers, published by log-likelihoods" in notes
    assert "mine: generated answers: GSM8K, ARC-C" in made.remarks
    assert "(n=200 of 14042)" in render(made, "md")


def test_a_row_that_stopped_early_shows_its_interval() -> None:
    stopped = {"low": 0.81, "high": 0.85, "stopped": "its interval is ±2.00", "method": "confidence sequence"}
    made = table(run(mmlu=bench("MMLU", value=0.83, n=1500, of=14042, complete=False, precision=stopped)))
    assert "83.0 [81.0, 85.0] (n=1500 of 14042)" in render(made, "md").replace("\\", "")
    assert any("confidence sequence" in note for note in made.footnotes)
