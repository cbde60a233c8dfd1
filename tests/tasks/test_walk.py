"""Every real doc renders, knows its gold answer, and is never shown with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.planner import DocPlan, TaskPlan
from harness.plan.request import Score
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
    "xcopa": (1500, 3),
    "xwinograd": (1620, 4),
    "mgsm": (1500, 6),
}
# one task of a set of which the mirror has some languages only
PART = {"belebele_paper_de": ("belebele", 900), "paws_x_tag_de": ("paws_x", 2000)}


@pytest.mark.parametrize("benchmark", WHOLE)
def test_every_real_doc_renders(benchmark: str, mirror: Path) -> None:
    made = plan(benchmark, mirror=mirror)
    assert (sum(len(task.docs) for task in made.tasks), len(made.tasks)) == WHOLE[benchmark]
    assert made.complete
    for task in made.tasks:
        check(task)


@pytest.mark.parametrize("name", PART)
def test_every_real_doc_of_a_language_renders(name: str, mirror: Path) -> None:
    benchmark, size = PART[name]
    (task,) = plan(benchmark, mirror=mirror, only=name).tasks
    assert len(task.docs) == size
    check(task)


def test_text_only_leaves_the_docs_that_the_mirror_lists(mirror: Path) -> None:
    from harness.plan import Source

    ours = plan("theoremqa", "theoremqa.set=text_only", mirror=mirror).tasks[0].docs
    listed = Source("mirror", mirror).load("TIGER-Lab/TheoremQA", "text_only")["test"]
    assert [doc.doc["Question"] for doc in ours] == list(listed["Question"])


def check(task: TaskPlan) -> None:
    assert len({doc.doc_id for doc in task.docs}) == len(task.docs)
    cluster = (task.task.config.metadata or {}).get("cluster")
    together = [doc.doc[cluster] if cluster else doc.doc_id for doc in task.docs]
    alike: dict[str, list[str]] = {}
    for shared, doc in zip(together, task.docs, strict=True):
        alike.setdefault(shared, []).extend(questions(doc))
    for shared, doc in zip(together, task.docs, strict=True):
        where = f"{task.name} {doc.doc_id}"
        assert gold(task, doc).strip(), f"{where} has no target"
        assert all(questions(doc)), f"{where} has no question"
        for prefix in {request.prefix for request in doc.requests}:
            assert bool(prefix) == (task.shots > 0), f"{where} has no shots"
            # the shots and the header: neither what is asked nor what goes with it must stand there already
            told = [text for text in alike[shared] if text in prefix]
            assert not told, f"{where} is shown among its shots: {told[0]}"


def questions(doc: DocPlan) -> list[str]:
    """What is asked: the query, one a filling where there are two, or the whole texts that are scored."""
    asked = [request.query.strip() for request in doc.requests]
    if any(asked):
        return asked
    return [text for request in doc.requests if isinstance(request, Score) for text in request.continuations]


def gold(task: TaskPlan, doc: DocPlan) -> str:
    """The right answer as text, which must be one of the choices where there are any."""
    answer = task.task.doc_to_text(doc.doc) if task.task.multiple_input else task.task.doc_to_target(doc.doc)
    if task.task.OUTPUT_TYPE != "multiple_choice":
        return str(answer)
    choices = task.task.doc_to_choice(doc.doc)
    index = answer if isinstance(answer, int) else choices.index(answer)
    assert 0 <= index < len(choices), f"{task.name} {doc.doc_id}: its gold answer is none of the choices"
    return str(choices[index])
