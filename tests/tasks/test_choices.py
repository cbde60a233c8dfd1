"""Protocol choices: each has an effect, each value runs, each stands in the receipt; suites name rows there are."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.config import SPEC_KEYS
from harness.errors import MissingError, UserError
from harness.paths import conf_dir, published_dir, tasks_dir
from harness.plan import library
from harness.plan.options import asked
from harness.receipt import benchmark_entry
from tests.tasks.support import MEMBERS, OWN, config, plan, readings, spec, utils

# values whose packages or models are no part of an ordinary installation
NEED_EXTRAS = {"flores.tokenizer=mecab", "flores.tokenizer=spm"}


@pytest.mark.parametrize(("benchmark", "overrides"), list(readings()), ids=str)
def test_every_reading_of_a_protocol_can_be_asked(benchmark: str, overrides: tuple[str, ...]) -> None:
    # the sample docs hold nine of the main set, and fewer are left once Diamond's are out
    fewer = ("shots.gpqa=3",) if "gpqa.exemplars=main" in overrides else ()
    try:
        made = plan(benchmark, *overrides, *fewer, "limit=2")
    except MissingError as error:
        if not set(overrides) & NEED_EXTRAS:
            raise
        pytest.skip(str(error))
    assert len(list(made.requests)) >= 2
    entry = benchmark_entry(made)
    for override in overrides:
        key, _, value = override.partition(".")[2].partition("=")
        assert str(entry[key] if key == "average" else entry["options"][key]) == value


@pytest.mark.parametrize("benchmark", OWN)
def test_every_option_has_an_effect(benchmark: str) -> None:
    text = (conf_dir() / "benchmark" / f"{benchmark}.yaml").read_text(encoding="utf-8")
    wanted: set[str] = set()
    if (tasks_dir() / benchmark / "utils.py").is_file():
        # the layer's own functions that a utils.py imports are called by it, not by lm-eval
        layer = "harness.score.execution"
        functions = [function for _, function in inspect.getmembers(utils(benchmark), inspect.isfunction)]
        wanted = {
            name for function in functions if not function.__module__.startswith(layer) for name in asked(function)
        }
    for key in spec(benchmark).keys() - SPEC_KEYS:
        assert f"${{{benchmark}.{key}}}" in text or key in wanted, f"{benchmark}.{key} changes nothing"
    assert wanted - {"load", "rows", "chat"} <= spec(benchmark).keys()


@pytest.mark.parametrize(("benchmark", "overrides"), list(readings()), ids=str)
def test_the_rows_metric_filter_and_tasks_are_there(benchmark: str, overrides: tuple[str, ...]) -> None:
    chosen = config(benchmark, *overrides).benchmarks[0]
    for leaf in (leaf for name in chosen.tasks for leaf in library.leaf_configs(name)):
        metrics = [metric["metric"] for metric in leaf["metric_list"]]
        assert chosen.metric is None or chosen.metric in metrics
        assert chosen.filter is None or chosen.filter in [filters["name"] for filters in leaf["filter_list"]]


@pytest.mark.parametrize(("benchmark", "wrong"), [("bbh", "average"), ("gpqa", "method"), ("mmlu_pro", "guess")])
def test_an_unknown_value_is_named(benchmark: str, wrong: str) -> None:
    with pytest.raises(UserError, match=rf"{benchmark}.{wrong} = nonsense, which is none of"):
        config(benchmark, f"{benchmark}.{wrong}=nonsense")


def test_titles_and_shots_are_those_of_the_published_table() -> None:
    with (published_dir() / "qwen2_72b.csv").open(encoding="utf-8") as file:
        rows = {row["benchmark"]: row["shots"] for row in csv.DictReader(file)}
    for benchmark in set(OWN) - set(MEMBERS):
        chosen = spec(benchmark)
        assert str(chosen["shots"]) == rows[chosen["title"]], benchmark


def test_suites_name_rows_there_are() -> None:
    known = {file.stem for file in (conf_dir() / "benchmark").glob("*.yaml")}
    suites = {f.stem: yaml.safe_load(f.read_text(encoding="utf-8")) for f in (conf_dir() / "suite").glob("*.yaml")}
    for name, suite in suites.items():
        assert suite["name"] == name
        assert set(suite["benchmarks"]) <= known, name
    parts = [suites[part]["benchmarks"] for part in ("english", "coding", "math", "chinese", "multilingual")]
    rows = [name for part in parts for name in part]
    assert suites["qwen2"]["benchmarks"] == rows
    assert len(rows) == 21
    titles = [spec(name)["title"] for name in rows]
    with (published_dir() / "qwen2_72b.csv").open(encoding="utf-8") as file:
        assert titles == [row["benchmark"] for row in csv.DictReader(file)]


def test_a_suites_own_limit_yields_to_the_users() -> None:
    from harness.config import load

    assert load(["suite=ci"]).settings.limit == 8
    assert load(["suite=ci", "limit=3"]).settings.limit == 3
    assert load(["suite=ci", "suite.limit=null"]).settings.limit is None
    assert load(["suite=ci", "benchmarks=[mmlu]"]).settings.limit is None


def test_the_order_of_options_belongs_to_the_doc() -> None:
    ordered = utils("gpqa").ordered
    docs: list[dict[str, Any]] = [doc.doc for doc in plan("gpqa").tasks[0].docs]
    letters = [ordered(doc, 0)["answer"] for doc in docs]
    assert letters == [ordered(doc, 0)["answer"] for doc in reversed(docs)][::-1]
    assert letters == [doc["answer"] for doc in docs]
    assert len(set(letters)) == 4
    assert letters != [ordered(doc, 1)["answer"] for doc in docs]
    for doc in docs:
        made = ordered(doc, 0)
        assert made["options"]["ABCD".index(made["answer"])] == doc["Correct Answer"].strip()
    other = [doc.doc["answer"] for doc in plan("gpqa", "gpqa.order_seed=1").tasks[0].docs]
    assert other == [ordered(doc, 1)["answer"] for doc in docs]


def test_no_diamond_doc_is_a_shot() -> None:
    made = plan("gpqa", "gpqa.exemplars=main", "shots.gpqa=3")
    questions = [doc.doc["question"] for doc in made.tasks[0].docs]
    shown = {request.prefix for request in made.requests}
    assert len(shown) == 1
    assert not [question for question in questions if question in next(iter(shown))]
    # both configs are in the receipt
    assert {repo.config for repo in made.repos} == {"gpqa_diamond", "gpqa_main"}


def test_a_users_shots_replace_the_projects(tmp_path: Path) -> None:
    file = tmp_path / "shots.jsonl"
    file.write_text('{"question": "1 + 1?", "solution": "Count. The answer is 2."}\n' * 5, encoding="utf-8")
    made = plan("theoremqa", f"theoremqa.shots_file={file}", "limit=1")
    request = next(made.requests)
    assert request.prefix == "Problem: 1 + 1?\nSolution: Count. The answer is 2.\n\n" * 5
    assert made.benchmark.options["shots_file"] == str(file)


@pytest.mark.parametrize("content", [None, '{"question": "1 + 1?"}', "no JSON"])
def test_a_file_of_shots_that_cannot_be_read_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "shots.jsonl"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"theoremqa\.shots_file = "):
        plan("theoremqa", f"theoremqa.shots_file={file}")


def test_answers_to_sample_docs_are_cut_early_unless_the_user_says_how_long() -> None:
    from harness.config import load
    from harness.plan import Generate, make_plan

    def limits(*overrides: str) -> set[int]:
        chosen = load(["benchmarks=[mmlu_pro]", "data=sample", *overrides])
        made = make_plan(chosen.benchmarks, chosen.source, chosen.settings, strict=True, named=True)
        return {request.max_tokens for request in made.requests if isinstance(request, Generate)}

    assert limits() == {32}
    assert limits("data.longest=null") == {2048}
    assert limits("generation.max_tokens=1000") == {1000}
    assert limits("generation.max_tokens=16") == {16}


def test_scores_hold_the_share_of_each_rule_and_of_answers_without_one() -> None:
    from harness.backends.base import Generated
    from harness.plan import Plan
    from harness.score.scorer import score_plan
    from harness.score.summary import summarise

    made = plan("mmlu_pro", "limit=4")
    texts = ["The answer is (A).", "The answer is (B).", "Answer: C", "nothing of the kind"]
    responses = {r.hash: Generated(text, "stop", 1, 1) for r, text in zip(made.requests, texts, strict=True)}
    whole = Plan((made,), {})
    found = summarise(whole, score_plan(whole, responses))["benchmarks"]["mmlu_pro"]
    assert found["rules"] == {"answer_is": 0.5, "answer_colon": 0.25}
    assert found["unparsed"] == 0.25
