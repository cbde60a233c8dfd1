"""Every real doc renders, knows its gold answer, and is never shown with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.planner import DocPlan, TaskPlan
from tests.tasks.support import plan

# docs of the whole set, and of how many tasks, as the protocols say
WHOLE = {
    "mmlu": (14042, 57),
    "mmlu_pro": (12032, 14),
    "theoremqa": (800, 1),
    "bbh": (6511, 27),
    "hellaswag": (10042, 1),
    "winogrande": (1267, 1),
    "arc_c": (1172, 1),
    "truthfulqa": (817, 1),
    "humaneval": (164, 1),
    "humaneval_plus": (164, 1),
    "mbpp": (399, 1),
    "mbpp_plus": (399, 1),
    "multipl_e": (1280, 8),
    "gsm8k": (1319, 1),
    "math": (5000, 7),
    "c_eval": (1346, 52),
    "cmmlu": (11582, 67),
}


@pytest.mark.parametrize("benchmark", WHOLE)
def test_every_real_doc_renders(benchmark: str, mirror: Path) -> None:
    made = plan(benchmark, mirror=mirror)
    assert (sum(len(task.docs) for task in made.tasks), len(made.tasks)) == WHOLE[benchmark]
    assert made.complete
    for task in made.tasks:
        assert len({doc.doc_id for doc in task.docs}) == len(task.docs)
        for doc in task.docs:
            check(task, doc)


def test_text_only_leaves_the_docs_that_the_mirror_lists(mirror: Path) -> None:
    from harness.plan import Source

    ours = plan("theoremqa", "theoremqa.set=text_only", mirror=mirror).tasks[0].docs
    listed = Source("mirror", mirror).load("TIGER-Lab/TheoremQA", "text_only")["test"]
    assert [doc.doc["Question"] for doc in ours] == list(listed["Question"])


def check(task: TaskPlan, doc: DocPlan) -> None:
    where = f"{task.name} {doc.doc_id}"
    target = gold(task, doc)
    assert target.strip(), f"{where} has no target"
    for request in doc.requests:
        assert request.query.strip(), f"{where} has no question"
        assert bool(request.prefix) == (task.shots > 0), f"{where} has no shots"
        # the shots and the header: what is asked must not stand there already
        assert request.query.strip() not in request.prefix, f"{where} is shown among its shots"


def gold(task: TaskPlan, doc: DocPlan) -> str:
    """The right answer as text, which must be one of the choices where there are any."""
    answer = task.task.doc_to_text(doc.doc) if task.task.multiple_input else task.task.doc_to_target(doc.doc)
    if task.task.OUTPUT_TYPE != "multiple_choice":
        return str(answer)
    choices = task.task.doc_to_choice(doc.doc)
    index = answer if isinstance(answer, int) else choices.index(answer)
    assert 0 <= index < len(choices), f"{task.name} {doc.doc_id}: its gold answer is none of the choices"
    return str(choices[index])
