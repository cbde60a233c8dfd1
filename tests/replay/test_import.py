"""Foreign files as runs: what is written, what is scored, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.cli import main
from harness.errors import UserError
from harness.replay import agreement
from harness.replay.agreement import Agreements
from harness.replay.programs import lacked
from harness.run import rescore
from tests.replay import support
from tests.replay.support import Rows, imported, write

ABOUT = {
    "model": "Someone-7B", "model_kind": "base", "protocol": {"shots": 3}, "licence": "MIT",
    "source": {"repository": "someone/outputs", "commit": "abc"},
}  # fmt: skip


def agreements(run: Path) -> dict[str, Agreements]:
    return {found.whole.name: found for found in agreement.of_run(run)}


def samples(run: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(file) for file in (run / "samples").glob("*.parquet")).set_index("doc_id")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of one model."""
    folder = tmp_path_factory.mktemp("imported")
    one = write(folder / "a", "mmlu_pro__Someone-7B", support.MMLU_PRO, ABOUT)
    two = write(folder / "b", "bbh_cot__Someone-7B", support.BBH)
    three = write(folder / "c", "gsm8k_2__Someone-7B", support.GSM8K)
    return imported(folder, one, two, three)


def test_the_folder_keeps_the_contract_of_runs(run: Path) -> None:
    names = {file.name for file in run.iterdir()}
    assert names >= {
        "receipt.json",
        "responses.parquet",
        "samples",
        "scores.json",
        "results.json",
        "table.md",
        "table.csv",
    }
    assert names >= {"docs.parquet", "published.parquet"}
    frame = samples(run)
    assert {"prompt_sha256", "target", "raw", "extracted", "rule", "score", "truncated", "unparsed"} <= set(
        frame.columns
    )
    assert set(frame.index) == {"7", "8", "9", "3", "0", "5", "6"}
    assert set(frame["task"]) == {
        "mmlu_pro_cot_computer_science", "mmlu_pro_cot_law", "bbh_cot_navigate", "bbh_cot_word_sorting",
        "gsm8k_qwen_cot",
    }  # fmt: skip
    results = json.loads((run / "results.json").read_text())
    assert results["results"]["gsm8k_qwen_cot"]["exact_match,flexible"] == 0.5


def test_the_receipt_says_imported_and_from_what(run: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["model"] == {
        "model": "Someone-7B", "kind": "base", "kind_of_backend": "replay", "dtype": "imported answers",
    }  # fmt: skip
    origin = receipt["imported"]["files"][0]
    assert origin["file"] == "mmlu_pro__Someone-7B.jsonl.gz"
    assert len(origin["sha256"]) == 64
    assert origin["published"]["licence"] == "MIT"
    assert origin["published"]["source"]["repository"] == "someone/outputs"
    assert receipt["benchmarks"]["mmlu_pro"]["shots"] == 3
    assert receipt["benchmarks"]["mmlu_pro"]["complete"] is False
    assert receipt["benchmarks"]["gsm8k"]["tasks"]["gsm8k_qwen_cot"]["of"] == 1319


def test_the_authors_rule_is_found_and_recorded(run: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    rule = next(rule for rule in receipt["imported"]["rules"] if rule["benchmark"] == "mmlu_pro")
    # the fall-backs would have found the letter that the publisher did not
    assert rule["chosen"] == "mmlu_pro.extraction=first_pattern"
    assert rule["of"] == 3
    assert rule["agreement"]["mmlu_pro.extraction=letter"] == 2
    assert rule["agreement"]["mmlu_pro.extraction=first_pattern"] == 3
    assert receipt["benchmarks"]["mmlu_pro"]["options"]["extraction"] == "first_pattern"
    assert receipt["benchmarks"]["mmlu_pro"]["options"]["guess"] == "none"


def test_every_verdict_agrees(run: Path) -> None:
    for found in agreements(run).values():
        assert found.whole.share == 1.0
        assert len(found.differ) == 0
    assert agreements(run)["BBH"].whole.theirs == 50.0


def test_a_choice_of_the_users_stands(tmp_path: Path) -> None:
    file = write(tmp_path, "mmlu_pro__x", support.MMLU_PRO)
    run = imported(tmp_path, file, overrides=["mmlu_pro.extraction=letter", "mmlu_pro.guess=expected"])
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["benchmarks"]["mmlu_pro"]["options"]["extraction"] == "letter"
    assert receipt["imported"]["rules"] == []
    found = agreements(run)["MMLU-Pro"]
    assert (found.whole.agree, found.whole.compared, found.whole.ours_only) == (2, 3, 1)
    assert list(found.differ["doc_id"]) == ["8"]
    assert found.whole.ours == pytest.approx(100 * (1 + 1 + 0.1) / 3)


def test_scoring_again_needs_nothing_but_the_folder(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(run, copy)
    before = (copy / "scores.json").read_bytes()
    for name in ("scores.json", "results.json", "samples"):
        (shutil.rmtree if (copy / name).is_dir() else Path.unlink)(copy / name)
    rescore(copy)
    assert (copy / "scores.json").read_bytes() == before
    assert "rescored" in json.loads((copy / "receipt.json").read_text())


def test_the_command_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "gsm8k__m", [{**support.GSM8K[0], "correct": False}, support.GSM8K[1]])
    with pytest.raises(SystemExit) as done:
        main(["import", str(file), "--run", "cli", "--model", "Other", "--with", f"run.dir={tmp_path}"])
    assert done.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["score", str(tmp_path / "cli"), "--against-published", "--samples", "--format", "md"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert "| GSM8K | 2 | 50.00 | 0.00 | 1 | 2 | 50.00 | 0 | 1 | 0 | 1 |" in out
    assert "GSM8K gsm8k 5: target '12'; here right '12' (last_number); published wrong '12.0'" in out
    with pytest.raises(SystemExit) as done:
        main(["table", str(run), str(tmp_path / "cli"), "--format", "csv"])
    assert done.value.code == 0


@pytest.mark.parametrize(
    ("name", "rows", "title"),
    [
        ("math_samples__m", support.MATH, "MATH"),
        ("evalplus_humaneval__m", support.HUMANEVAL, "HumanEval"),
        ("evalplus_mbpp__m", support.MBPP, "MBPP"),
        ("evalplus_mbpp__m", support.MBPP, "MBPP+"),
        ("multipl_e_base__m", support.SH, "MultiPL-E"),
    ],
)
def test_benchmarks_that_need_a_judge(name: str, rows: Rows, title: str, tmp_path: Path) -> None:
    run = imported(tmp_path, write(tmp_path, name, rows))
    found = agreements(run)[title]
    assert found.whole.compared == len(rows)
    assert found.whole.share == 1.0
    rescore(run)
    assert agreements(run)[title].whole == found.whole


def test_samples_of_one_problem_are_clustered(tmp_path: Path) -> None:
    run = imported(tmp_path, write(tmp_path, "math_samples__m", support.MATH))
    assert set(samples(run)["cluster"]) == {"math/0"}


def test_a_verdict_in_doubt_is_shown_and_not_counted(tmp_path: Path) -> None:
    run = imported(tmp_path, write(tmp_path, "theoremqa__m", support.THEOREMQA))
    found = agreements(run)["TheoremQA"]
    assert (found.whole.compared, found.whole.agree, found.whole.flagged) == (1, 1, 1)
    assert found.comparison == (1, 1)
    assert list(found.differ["doc_id"]) == ["5"]


def test_docs_without_a_published_prompt_stand_alone(tmp_path: Path) -> None:
    rows = [{**support.GSM8K[0], "doc_id": str(k), "output": f"The answer is {k}.", "prompt": ""} for k in range(4)]
    run = imported(tmp_path, write(tmp_path, "gsm8k__m", [{**row, "target": "1"} for row in rows]))
    found = json.loads((run / "scores.json").read_text())["benchmarks"]["gsm8k"]
    # one of four is right: the standard error of four single docs
    assert (found["value"], found["stderr"]) == (0.25, pytest.approx(0.25))


def test_an_output_that_was_lost_is_unparsed_and_its_verdict_in_doubt(tmp_path: Path) -> None:
    lost = {**support.GSM8K[1], "output": None, "extracted": None}
    run = imported(tmp_path, write(tmp_path, "gsm8k__m", [support.GSM8K[0], lost]))
    whole = agreements(run)["GSM8K"].whole
    assert (whole.n, whole.ours, whole.compared, whole.flagged) == (2, 50.0, 1, 1)
    assert list(samples(run)["unparsed"]) == [False, True]


def test_programs_in_a_fenced_block(tmp_path: Path) -> None:
    row = {**support.HUMANEVAL[0], "output": "Sure:\n```python\ndef twice(n):\n    return n + n\n```\nDone."}
    run = imported(tmp_path, write(tmp_path, "evalplus_humaneval__chat", [row]))
    assert agreements(run)["HumanEval"].whole.ours == 100.0


@pytest.mark.parametrize(
    ("language", "answer", "tests", "doubted"),
    [
        ("sh", 'f() {\n    echo "$1 / 3" | bc -l\n}', "", True),
        ("sh", 'f() {\n    x=$(bc <<< "$1 / 3")\n}', "", True),
        ("sh", 'f() {\n    local abc="x bc"\n    echo "$abc" # bc\n}', "", False),
        ("cpp", 'system("echo 1 | bc");', "", False),
        ("java", "return both;", "assert(f(3).equals((Pair.with(1l, 2l))));", True),
        ("java", "return Triplet.with(1, 2, 3);", "assert(f(3) != null);", True),
        ("java", "// a Pair of socks\nreturn 2;", "assert(f(3) == 2);", False),
    ],
)
def test_what_the_publisher_s_machine_lacked(language: str, answer: str, tests: str, doubted: bool) -> None:
    assert (lacked(language, answer, tests) is not None) == doubted


def test_a_total_is_set_beside_ours_with_and_without_what_is_in_doubt(tmp_path: Path) -> None:
    chat = 'Here:\n```sh\ngreet() {\n    echo "hello $1"\n    echo 1 | bc > /dev/null\n}\n```\n'
    rows = [{**support.SH[0], "doc_id": f"sh/HumanEval_{k}_greet", "output": text, "correct": None}
            for k, text in enumerate([chat, chat.replace("    echo 1 | bc > /dev/null\n", "")])]  # fmt: skip
    twin = {**rows[1], "task": "js", "doc_id": "js/HumanEval_0_greet", "output": "no code", "tests": "throw 1;"}
    run = imported(tmp_path, write(tmp_path, "multipl_e_chat__m", [*rows, twin]))
    part = {part.name: part for part in agreements(run)["MultiPL-E"].parts}["sh"]
    assert (part.ours, part.compared, part.flagged, part.flagged_right, part.ours_at_least) == (100.0, 0, 1, 1, 50.0)


def test_totals_where_no_verdicts_are_published(tmp_path: Path) -> None:
    chat = 'Here:\n```sh\n#!/bin/bash\ngreet() {\n    echo "hello $1"\n}\n```\n'
    row = {**support.SH[0], "output": chat, "correct": None}
    about = {"per_task": {"sh": {"n": 1, "pass@1": 75.0}}}
    run = imported(tmp_path, write(tmp_path, "multipl_e_chat__m", [row], about))
    whole = agreements(run)["MultiPL-E"].whole
    assert (whole.ours, whole.compared, whole.share) == (100.0, 0, None)
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["imported"]["rules"] == []


def refused(match: str, folder: Path, *paths: Path, **options: Any) -> None:
    with pytest.raises(UserError, match=match):
        imported(folder, *paths, **options)
    assert not (folder / "runs" / "foreign" / "scores.json").exists()


def test_what_is_refused(tmp_path: Path) -> None:
    ifeval = write(tmp_path, "ifeval_10__m", [{"doc_id": "1", "task": "ifeval", "output": "x", "prompt": "y"}])
    refused("ifeval has no benchmark here", tmp_path, ifeval)
    gsm8k = write(tmp_path, "gsm8k__m", support.GSM8K)
    refused("two files hold outputs of gsm8k", tmp_path, gsm8k, write(tmp_path / "b", "gsm8k_2__m", support.GSM8K))
    refused("the files are of m and n", tmp_path, gsm8k, write(tmp_path, "bbh_cot__n", support.BBH))
    refused("is there twice", tmp_path, write(tmp_path, "gsm8k__twice", [support.GSM8K[0]] * 2))
    targetless = [{k: v for k, v in support.GSM8K[0].items() if k != "target"}]
    refused("has no target", tmp_path, write(tmp_path, "gsm8k__t", targetless))
    refused("row 1: output = 7", tmp_path, write(tmp_path, "gsm8k__o", [{**support.GSM8K[0], "output": 7}]))
    refused("no format that can be imported", tmp_path, write(tmp_path, "gsm8k__f", [{"some": "thing"}]))
    refused("no format that can be imported", tmp_path, write(tmp_path, "gsm8k__e", []))
    refused("cannot be read", tmp_path, tmp_path / "absent.jsonl")
    (tmp_path / "broken.jsonl").write_text('{"doc_id": "1", "output": "x"}\n{"doc')
    refused("line 2 is no JSON", tmp_path, tmp_path / "broken.jsonl", benchmark="gsm8k")


@pytest.mark.parametrize("wrong", ["unknown", "broken", "truncated", "damaged", "twice", "absent"])
def test_a_refusal_is_one_line_with_its_remedy(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, "gsm8k__m", support.GSM8K)
    files = [good]
    if wrong == "unknown":
        files = [write(tmp_path, "riddles__m", support.GSM8K)]
    elif wrong == "twice":
        files.append(write(tmp_path / "again", "gsm8k__m", support.GSM8K))
    elif wrong == "broken":
        good.write_bytes(b"no gzip at all")
    elif wrong == "truncated":
        good.write_bytes(good.read_bytes()[:-12])
    elif wrong == "damaged":
        data = good.read_bytes()
        good.write_bytes(data[:40] + bytes(byte ^ 255 for byte in data[40:60]) + data[60:])
    else:
        good.unlink()
    with pytest.raises(SystemExit) as done:
        main(["import", *map(str, files), "--run", "refused", "--with", f"run.dir={tmp_path / 'runs'}"])
    assert done.value.code == 2
    told = capsys.readouterr()
    problem, remedy = told.err.splitlines()
    assert problem.startswith("error: ")
    assert ("gsm8k" if wrong != "unknown" else "riddles") in problem
    assert remedy.strip()
    assert told.out == ""
    assert not (tmp_path / "runs" / "refused").exists()


def test_the_name_is_one_measurement(tmp_path: Path) -> None:
    file = write(tmp_path, "gsm8k__m", support.GSM8K)
    imported(tmp_path, file)
    imported(tmp_path, file)
    with pytest.raises(UserError, match=r"run\.name = foreign, which is a run of"):
        imported(tmp_path, write(tmp_path, "gsm8k__m", support.GSM8K[:1]))


def test_a_run_that_was_not_imported_has_no_published_verdicts(run: Path, tmp_path: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    (tmp_path / "receipt.json").write_text(json.dumps({k: v for k, v in receipt.items() if k != "imported"}))
    with pytest.raises(UserError, match="was not imported"):
        agreement.of_run(tmp_path)


def test_nothing_can_be_asked_of_imported_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["eval", "backend=replay", "benchmarks=[gsm8k]", "limit=1"])
    assert done.value.code == 2
    assert "harness import" in capsys.readouterr().err


def test_docs_joined_with_a_data_set(tmp_path: Path) -> None:
    repo = tmp_path / "mirror" / "openai" / "gsm8k"
    (repo / "main").mkdir(parents=True)
    docs = [{"question": row["prompt"], "answer": f"So.\n#### {row['target']}"} for row in reversed(support.GSM8K)]
    for split in ("train", "test"):
        (repo / "main" / f"{split}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (repo / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - {split: train, path: main/train.jsonl}\n"
        "  - {split: test, path: main/test.jsonl}\n---\n"
    )
    file = write(tmp_path, "gsm8k__m", support.GSM8K)
    run = imported(tmp_path, file, data_root=tmp_path / "mirror")
    # found by the question's text: the set has them in another order
    assert dict(samples(run)["score"]) == {"1": 1.0, "0": 0.0}
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["benchmarks"]["gsm8k"]["data"][0]["id"] == "openai/gsm8k"
    shutil.rmtree(tmp_path / "mirror")
    rescore(run)
    other = write(tmp_path, "gsm8k__other", [{**support.GSM8K[0], "prompt": "Another question?"}])
    with pytest.raises(UserError, match="has no data set"):
        imported(tmp_path, other, name="gone", data_root=tmp_path)
