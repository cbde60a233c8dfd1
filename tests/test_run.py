"""Whole runs with a tiny model: what is written, what is kept, what is asked again (nothing)."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from harness.backends.base import Response
from harness.backends.torch import TorchBackend
from harness.collect import Store
from harness.config import load
from harness.errors import UserError
from harness.plan import Request
from harness.run import evaluate, rescore

SMALL = ["benchmarks=[mmlu,hellaswag,gsm8k]", "limit=9", "generation.max_tokens=12", "backend.dtype=float32"]


def overrides(checkpoint: Path, runs: Path, *more: str) -> list[str]:
    return [
        *SMALL,
        f"backend.model={checkpoint}",
        f"run.dir={runs}",
        "run.name=small",
        "backend.batch_tokens=2500",
        *more,
    ]


@pytest.fixture(scope="module")
def finished(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(load(overrides(tiny_checkpoint, tmp_path_factory.mktemp("runs"))))


def test_a_run_is_complete_in_itself(finished: Path) -> None:
    names = {file.name for file in finished.iterdir()}
    wanted = {"receipt.json", "responses.parquet", "samples", "scores.json", "results.json", "table.md", "table.csv"}
    assert names == wanted
    samples = pd.concat(pd.read_parquet(file) for file in (finished / "samples").iterdir())
    columns = {
        "doc_id",
        "task",
        "prompt_sha256",
        "target",
        "raw",
        "extracted",
        "rule",
        "score",
        "truncated",
        "unparsed",
    }
    assert columns <= set(samples.columns)
    assert len(samples) == 27
    assert samples["doc_id"].map(type).eq(str).all()
    assert samples["score"].between(0, 1).all()


def test_the_receipt_says_what_was_measured(finished: Path) -> None:
    receipt = json.loads((finished / "receipt.json").read_text())
    assert receipt["status"] == "complete"
    assert receipt["model"]["model"] == "tiny-llama"
    assert receipt["model"]["dtype"] == "float32"
    assert receipt["benchmarks"]["gsm8k"]["options"] == {"exemplars": "qwen", "extraction": "flexible"}
    assert receipt["benchmarks"]["mmlu"]["data"][0]["id"] == "cais/mmlu"
    assert receipt["benchmarks"]["mmlu"]["sample_data"] is True
    assert receipt["config"]["limit"] == 9
    assert receipt["totals"]["asked"] == 27
    assert receipt["versions"]["lm_eval"]
    assert receipt["started"] <= receipt["finished"]


def test_results_are_in_lm_evals_format(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    scores = json.loads((finished / "scores.json").read_text())
    task = results["results"]["gsm8k_qwen_cot"]
    assert task["exact_match,flexible"] == scores["tasks"]["gsm8k_qwen_cot"]["value"]
    assert {"exact_match,strict", "exact_match_stderr,flexible"} <= set(task)
    assert results["n-shot"]["hellaswag_text"] == 10
    assert results["group_subtasks"]["mmlu"]


def test_an_undisturbed_second_run_asks_nothing(finished: Path, tiny_checkpoint: Path) -> None:
    before = (finished / "scores.json").read_bytes()
    first = json.loads((finished / "receipt.json").read_text())
    for _ in range(2):
        evaluate(load(overrides(tiny_checkpoint, finished.parent)))
        assert (finished / "scores.json").read_bytes() == before
        receipt = json.loads((finished / "receipt.json").read_text())
        assert receipt["totals"]["asked"] == 0
        # what was computed stays on record, once
        assert [(call["took"], call["totals"]) for call in receipt["earlier"]] == [(first["took"], first["totals"])]


def test_a_run_that_the_user_must_mend_says_so_in_its_receipt(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"backend\.kv_memory holds"):
        evaluate(load(overrides(tiny_checkpoint, tmp_path, "backend.kv_memory=0.000001")))
    receipt = json.loads((tmp_path / "small" / "receipt.json").read_text())
    assert receipt["status"] == "stopped"
    assert "backend.kv_memory" in receipt["reason"]


def test_two_runs_from_nothing_have_identical_scores(finished: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    again = evaluate(load(overrides(tiny_checkpoint, tmp_path)))
    assert (again / "scores.json").read_bytes() == (finished / "scores.json").read_bytes()
    plans = [json.loads((run / "receipt.json").read_text())["plan"] for run in (finished, again)]
    assert plans[0] == plans[1]


def test_scoring_again_needs_no_model(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (finished / "scores.json").read_bytes()
    (finished / "scores.json").unlink()
    monkeypatch.setattr(TorchBackend, "answer", None)
    rescore(finished)
    assert (finished / "scores.json").read_bytes() == before


def test_a_name_is_one_measurement(finished: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match=r"run\.name = small, which is a run of other requests and other protocol"):
        evaluate(load(overrides(tiny_checkpoint, finished.parent, "shots.gsm8k=1")))
    with pytest.raises(UserError, match=r"run\.name = a/b"):
        evaluate(load(overrides(tiny_checkpoint, finished.parent, "run.name=a/b")))


def test_a_folder_that_cannot_be_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"run\.dir = .*cannot be written"):
        evaluate(load(overrides(tiny_checkpoint, tmp_path / "file" / "runs")))


def test_a_damaged_store_is_set_aside_and_the_run_goes_on(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 1000)
    folder = evaluate(load(overrides(tiny_checkpoint, tmp_path, "limit=1")))
    assert (folder / "scores.json").is_file()
    assert (tmp_path / "store.sqlite.damaged-1").is_file()
    assert "is damaged" in caplog.text


def test_an_lm_eval_task_by_name(tiny_checkpoint: Path, tmp_path: Path) -> None:
    arguments = overrides(tiny_checkpoint, tmp_path, "benchmarks=[arc_challenge]", "limit=3", "shots.arc_challenge=1")
    folder = evaluate(load(arguments))
    assert json.loads((folder / "scores.json").read_text())["benchmarks"]["arc_challenge"]["n"] == 3
    assert "| arc\\_challenge | 1 |" in (folder / "table.md").read_text()


def test_multirun_measures_every_combination(tiny_checkpoint: Path, tmp_path: Path) -> None:
    arguments = [*overrides(tiny_checkpoint, tmp_path, "benchmarks=[gsm8k]", "limit=2"), "shots.gsm8k=1,2"]
    arguments[arguments.index("run.name=small")] = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    # a process of its own: Hydra sets up logging for the whole process
    command = [sys.executable, "-m", "harness", "eval", "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shots = [json.loads(f.read_text())["benchmarks"]["gsm8k"]["shots"] for f in tmp_path.glob("*/scores.json")]
    assert sorted(shots) == [1, 2]


def _logged_run(arguments: list[str], log: Path) -> None:
    """In a child process: run, and note what is asked and what is kept."""
    answer, put = TorchBackend.answer, Store.put

    def note(mark: str, hashes: Sequence[str]) -> None:
        with log.open("a") as file:
            file.writelines(f"{mark} {key}\n" for key in hashes)

    def noted_answer(self: TorchBackend, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        note("asked", [request.hash for request in requests])
        yield from answer(self, requests)

    def noted_put(self: Store, model: str, answers: list[tuple[str, Response, float]]) -> None:
        put(self, model, answers)
        note("kept", [key for key, _, _ in answers])

    TorchBackend.answer, Store.put = noted_answer, noted_put  # type: ignore[method-assign, assignment]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    evaluate(load(arguments))


def _kept(log: Path) -> int:
    return log.read_text().count("kept ") if log.is_file() else 0


def test_killed_twenty_times_the_scores_are_the_same_and_nothing_kept_is_asked_twice(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    # both kinds of requests, of tasks that are planned at once: most of a killed run's life is its work
    small = ["benchmarks=[hellaswag,gsm8k]", "limit=14"]
    undisturbed = evaluate(load(overrides(tiny_checkpoint, tmp_path / "undisturbed", *small)))
    # Forked from a process that has its imports behind it, a child dies in the middle of the work. Not from this one:
    # other tests have left threads in it, and a lock that one of them holds would never be released in a child.
    context = multiprocessing.get_context("forkserver")
    wanted = ("harness.", "lm_eval.", "datasets.", "hydra.", "transformers.models.llama.", "scipy.stats")
    context.set_forkserver_preload([__name__, *(name for name in sys.modules if name.startswith(wanted))])
    log = tmp_path / "log"
    # several passes a request: many places to die at
    arguments = overrides(tiny_checkpoint, tmp_path / "runs", *small, "backend.batch_tokens=100", "backend.slots=1")
    rng = random.Random(0)
    killed = 0
    for _ in range(20):
        # at a random moment after some random progress, however fast the machine is
        enough = _kept(log) + rng.choice([0, 0, 1, 1, 2])
        child = context.Process(target=_logged_run, args=(arguments, log))
        child.start()
        while child.is_alive() and _kept(log) < enough:
            time.sleep(0.002)
        child.join(timeout=rng.uniform(0.0, 0.1))
        if child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        killed += child.exitcode == -signal.SIGKILL
    assert killed > 10
    last = context.Process(target=_logged_run, args=(arguments, log))
    last.start()
    last.join()
    assert last.exitcode == 0
    kept: set[str] = set()
    for line in log.read_text().splitlines():
        mark, key = line.split()
        if mark == "kept":
            kept.add(key)
        else:
            assert key not in kept
    scores = tmp_path / "runs" / "small" / "scores.json"
    ours, theirs = (json.loads(path.read_text()) for path in (scores, undisturbed / "scores.json"))
    assert ours == theirs


def test_a_missing_compiler_is_noticed_before_anything_is_asked(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.score.execution import toolchains

    def require(languages: Sequence[str]) -> dict[str, str]:
        if "python" in languages:
            raise UserError("programs in python need tools that are not installed: python.", "Run `make toolchains`.")
        return {}

    monkeypatch.setattr(toolchains, "require", require)
    named = overrides(tiny_checkpoint, tmp_path, "benchmarks=[humaneval]")
    with pytest.raises(UserError, match="humaneval: programs in python need tools that are not installed"):
        evaluate(load(named))
    suite = [text for text in overrides(tiny_checkpoint, tmp_path, "limit=1") if not text.startswith("benchmarks=")]
    folder = evaluate(load(suite))
    assert "humaneval does not run: programs in python" in capsys.readouterr().err
    assert "make toolchains" in json.loads((folder / "scores.json").read_text())["skipped"]["humaneval"]


def test_a_row_of_members_stands_in_every_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    small = ["limit=2", "generation.max_tokens=4", "backend.boundary=split", f"backend.model={tiny_checkpoint}"]
    rows = ["benchmarks=[evalplus,multi_understanding]", "shots.belebele=1", "shots.xcopa=1", "shots.paws_x=1"]
    folder = evaluate(load([*rows, *small, f"run.dir={tmp_path}"]))
    scores = json.loads((folder / "scores.json").read_text())["benchmarks"]
    results = json.loads((folder / "results.json").read_text())
    for name in ("evalplus", "multi_understanding"):
        assert results["groups"][name]["mean of members,none"] == scores[name]["value"]
    table = (folder / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines() if "· " in line] == [
        "· HumanEval+",
        "· MBPP+",
        "· BELEBELE",
        "· XCOPA",
        "· XWinograd",
        "· XStoryCloze",
        "· PAWS-X",
    ]
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["composites"]["multi_understanding"]["average"] == "members"
    assert scores["multi_understanding"]["averages"].keys() == {"members", "languages"}
    rescore(folder)
    assert json.loads((folder / "scores.json").read_text())["benchmarks"] == scores


@pytest.mark.parametrize("form", [["prompt.form=generation"], ["prompt.chat=true"]])
def test_other_forms_are_told_in_table_and_receipt(form: list[str], tiny_chat: Path, tmp_path: Path) -> None:
    small = ["limit=4", "generation.max_tokens=4", f"backend.model={tiny_chat}", "shots.mmlu=1"]
    folder = evaluate(load(["benchmarks=[mmlu,humaneval]", *small, *form, f"run.dir={tmp_path}"]))
    table = (folder / "table.md").read_text()
    receipt = json.loads((folder / "receipt.json").read_text())
    if form == ["prompt.chat=true"]:
        assert "asked as a chat, few-shots in one message" in table
        assert receipt["prompt"]["chat"] is True
    else:
        assert "letter was generated where the protocol compares log-likelihoods" in table
        assert receipt["benchmarks"]["mmlu"]["lettered"] is True
    before = (folder / "scores.json").read_text()
    rescore(folder)
    assert (folder / "scores.json").read_text() == before


@pytest.fixture(scope="module")
def tiny_chat(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template."""
    folder = tmp_path_factory.mktemp("chat") / "tiny-chat"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}<assistant>", encoding="utf-8"
    )
    return folder
