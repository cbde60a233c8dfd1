"""Formats of other projects: written here by lm-eval's own loop, and as EvalPlus writes its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import UserError
from harness.plan import library
from harness.plan.planner import BenchmarkPlan
from harness.replay import agreement
from harness.replay.reading import read
from harness.run import rescore
from tests.replay import support
from tests.replay.support import imported, write
from tests.tasks.support import loglikelihood, plan


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """lm-eval's samples of a generated, a multiple-choice and a two-context task, on our sample docs."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers import EvaluationTracker

    class Model(LM):
        def generate_until(self, requests: Any, **_: Any) -> list[str]:
            # every other answer is right
            right = [request.doc["answer"].split("####")[-1] for request in requests]
            return [f" I count.\nThe answer is {text if i % 2 else 0}." for i, text in enumerate(right)]

        def loglikelihood(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            return [(loglikelihood(*request.args), False) for request in requests]

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> list[float]:
            raise NotImplementedError

    library.quiet_lm_eval()
    folder = tmp_path_factory.mktemp("lm_eval")
    tasks = {}
    for name in ("gsm8k", "arc_c", "winogrande"):
        bench: BenchmarkPlan = plan(name)
        tasks |= {task.name: task.task for task in bench.tasks}
    done = evaluate(Model(), tasks, log_samples=True, bootstrap_iters=0)
    assert done is not None
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = "someone__tiny-model"
    tracker.date_id = "2025-01-31T12-00-00.123456"
    for name, rows in done["samples"].items():
        tracker.save_results_samples(name, rows)
    files = {name: next(folder.rglob(f"samples_{name}_*.jsonl")) for name in tasks}
    (next(iter(files.values())).parent / "results_2025-01-31T12-00-00.123456.json").write_text("{}")
    return files


@pytest.mark.parametrize(
    ("task", "benchmark", "title", "metric"),
    [
        ("gsm8k_qwen_cot", "gsm8k", "GSM8K", "exact_match"),
        ("arc_c_text", "arc_c", "ARC-C", "acc_norm"),
        ("winogrande_suffix", "winogrande", "Winogrande", "acc"),
    ],
)
def test_lm_evals_samples_get_lm_evals_verdicts(
    samples: dict[str, Path], task: str, benchmark: str, title: str, metric: str, tmp_path: Path
) -> None:
    run = imported(tmp_path, samples[task])
    (found,) = agreement.of_run(run)
    rows = pd.read_json(samples[task], lines=True)
    assert found.whole.name == title
    assert found.whole.compared == found.whole.n == rows["doc_id"].nunique()
    assert found.whole.share == 1.0
    theirs = rows[rows["filter"] == rows["filter"].iloc[0]][metric].mean()
    assert found.whole.ours == pytest.approx(100 * theirs)
    assert 0 < found.whole.ours < 100
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["model"]["model"] == "someone/tiny-model"
    assert receipt["imported"]["files"][0]["format"] == "lm-eval samples"
    before = (run / "scores.json").read_bytes()
    rescore(run)
    assert (run / "scores.json").read_bytes() == before
    frame = pd.read_parquet(run / "samples" / f"{task}.parquet")
    assert list(frame["task"].unique()) == [task]
    assert set(frame["doc_id"]) == set(rows["doc_id"].astype(str))


def test_another_benchmark_may_score_the_samples(samples: dict[str, Path], tmp_path: Path) -> None:
    renamed = tmp_path / "samples_some_other_task_2025-01-31T12-00-00.jsonl"
    renamed.write_bytes(samples["gsm8k_qwen_cot"].read_bytes())
    with pytest.raises(UserError, match="no benchmark or lm-eval task some_other_task"):
        imported(tmp_path, renamed)
    run = imported(tmp_path, renamed, benchmark="gsm8k", model="renamed")
    (found,) = agreement.of_run(run)
    assert found.whole.name == "GSM8K"
    assert found.whole.share == 1.0


def test_tasks_of_lm_evals_own_library(samples: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "samples_arc_challenge_2025-01-31T12-00-00.jsonl"
    own.write_bytes(samples["arc_c_text"].read_bytes())
    run = imported(tmp_path, own)
    (found,) = agreement.of_run(run)
    assert found.whole.name == "arc_challenge"
    assert found.whole.share == 1.0


DOUBLE = '\ndef double(n):\n    """ Twice as much. """\n'
RELEASED = {
    "task_id": "HumanEval/0", "prompt": DOUBLE, "entry_point": "double", "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n", "atol": "0",
    "base_input": "[[1], [2]]", "plus_input": "[[-3]]",
}  # fmt: skip


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "evalplus" / "humanevalplus"
    folder.mkdir(parents=True)
    (folder / "raw.jsonl").write_text(json.dumps(RELEASED) + "\n")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: raw\n  data_files:\n  - {split: test, path: raw.jsonl}\n---\n"
    )
    return tmp_path / "mirror"


def evaluated(body: str, base: str, plus: str) -> dict[str, Any]:
    return {
        "task_id": "HumanEval/0", "solution": DOUBLE + body, "base_status": base, "plus_status": plus,
        "base_fail_tests": [], "plus_fail_tests": [],
    }  # fmt: skip


def test_evalplus_results(mirror: Path, tmp_path: Path) -> None:
    runs = [evaluated("    return n + n\n", "pass", "pass"), evaluated("    return abs(2 * n)\n", "pass", "fail")]
    file = tmp_path / "model_eval_results.json"
    file.write_text(json.dumps({"date": "2025-01-31 12:00", "hash": "abc", "eval": {"HumanEval/0": runs}}))
    with pytest.raises(UserError, match="holds programs and no tests"):
        imported(tmp_path, file)
    run = imported(tmp_path, file, data_root=mirror, model="Coder")
    base, plus = agreement.of_run(run)
    assert (base.whole.name, base.whole.ours, base.whole.share) == ("HumanEval", 100.0, 1.0)
    assert (plus.whole.name, plus.whole.ours, plus.whole.share) == ("HumanEval+", 50.0, 1.0)
    rescore(run)
    assert [found.whole for found in agreement.of_run(run)] == [base.whole, plus.whole]


@pytest.mark.parametrize("field", ["solution", "completion"])
def test_evalplus_samples(field: str, mirror: Path, tmp_path: Path) -> None:
    text = {"solution": DOUBLE + "    return n * 2\n", "completion": "    return n * 2\n"}[field]
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps({"task_id": "HumanEval/0", field: text}) + "\n")
    run = imported(tmp_path, file, data_root=mirror, model="Coder")
    base, plus = agreement.of_run(run)
    assert base.whole.ours == plus.whole.ours == 100.0
    assert base.whole.compared == 0


def test_results_of_an_early_evalplus_hold_no_programs(tmp_path: Path) -> None:
    file = tmp_path / "old_eval_results.json"
    file.write_text(json.dumps({"eval": {"HumanEval/0": {"nfiles": 1, "base": [["pass", []]]}}}))
    with pytest.raises(UserError, match="early EvalPlus"):
        read(file)


def test_the_row_evalplus_is_filled_where_its_four_members_are_there(mirror: Path, tmp_path: Path) -> None:
    runs = [evaluated("    return abs(2 * n)\n", "pass", "fail")]
    file = tmp_path / "model_eval_results.json"
    file.write_text(json.dumps({"eval": {"HumanEval/0": runs}}))
    mbpp = write(tmp_path, "evalplus_mbpp__Coder", support.MBPP)
    run = imported(tmp_path, file, mbpp, data_root=mirror, model="Coder")
    values = {
        name: entry["value"] for name, entry in json.loads((run / "scores.json").read_text())["benchmarks"].items()
    }
    assert values == {"humaneval": 1.0, "humaneval_plus": 0.0, "mbpp": 1.0, "mbpp_plus": 0.5, "evalplus": 0.625}
    assert "| EvalPlus |" in (run / "table.md").read_text()
    before = (run / "scores.json").read_bytes()
    rescore(run)
    assert (run / "scores.json").read_bytes() == before
    assert [found.whole.name for found in agreement.of_run(run)] == ["HumanEval", "HumanEval+", "MBPP", "MBPP+"]
    alone = imported(tmp_path, mbpp, name="alone")
    assert "evalplus" not in json.loads((alone / "scores.json").read_text())["benchmarks"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m_eval_results.json", '{"eval": []}', "eval is no object of problems"),
        ("m_eval_results.json", '{"eval": {"HumanEval/0": ["x"]}}', "lacks its task_id or its program"),
        ("m_eval_results.json", '{"eval": {}}', "holds problems of nothing"),
        ("m_eval_results.json", '{"eval": ', "cannot be read"),
        ("samples.jsonl", '{"task_id": "Other/0", "solution": "x"}', "holds problems of Other"),
        ("samples.jsonl", '{"task_id": "HumanEval/0", "solution": null}', "lacks its task_id or its program"),
        ("samples_x.jsonl", '{"doc_id": 0, "doc": {}, "arguments": [["a"]], "resps": [[7]]}', "neither texts nor"),
        ("samples_x.jsonl", '{"doc_id": 0, "doc": 1, "arguments": [], "resps": []}', "row 1 is no sample"),
    ],
)
def test_broken_files_of_other_projects(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=told):
        read(tmp_path / name)
