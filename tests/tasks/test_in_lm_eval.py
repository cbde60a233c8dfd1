"""The same files run in lm-eval itself: ``lm_eval --include_path tasks --tasks …``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.errors import MissingError
from harness.paths import tasks_dir
from harness.plan import Source, library
from harness.plan.data import Files
from tests.tasks.support import own_names

LOAD = Source.load


def sample_for_all(path: str, name: str | None = None, files: Files | None = None, **options: Any) -> Any:
    """The sample docs, with every subject there: lm-eval loads whole groups."""
    from datasets import Dataset, DatasetDict

    source = Source("sample")
    if converted := options.get("data_files"):  # a config by the files of the hub's conversion
        name = next(iter(converted.values())).split("/")[0]
    try:
        data = LOAD(source, path, name, files=files)
    except MissingError as error:
        # any other subject's docs will do to see that the task loads
        return LOAD(source, path, re.split("[,.]", error.remedy.removeprefix("It has: "))[0])
    if path == "indolem/IndoMMLU":
        # one table holds all subjects there
        subjects = [leaf["dataset_kwargs"]["subject"] for leaf in library.leaf_configs("indommlu_native")]
        docs = list(data["test"])[:7]
        return DatasetDict({"test": Dataset.from_list([{**doc, "subject": s} for s in subjects for doc in docs])})
    if path != "TIGER-Lab/MMLU-Pro":
        return data
    # one config holds all categories there
    names = [leaf["task"].removeprefix("mmlu_pro_cot_") for leaf in library.leaf_configs("mmlu_pro_cot")]
    rows = {split: list(part) for split, part in data.items()}
    return DatasetDict(
        {
            split: Dataset.from_list([{**row, "category": n.replace("_", " ")} for n in names for row in part[:5]])
            for split, part in rows.items()
        }
    )


@pytest.fixture(scope="module")
def manager() -> Any:
    from lm_eval.tasks import TaskManager

    library.quiet_lm_eval()
    # of lm-eval's own 16,000 files, only those that ours refer to: the others take seconds to index
    folders = [str(tasks_dir()), str(library.library_dir() / "bbh")]
    return TaskManager(include_path=folders, include_defaults=False)


def test_every_task_runs_in_lm_eval(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from lm_eval.evaluator import simple_evaluate

    monkeypatch.setattr(datasets, "load_dataset", sample_for_all)
    monkeypatch.setattr(Source, "load", lambda _, *arguments, **named: sample_for_all(*arguments, **named))
    rows = Source("sample").rows
    monkeypatch.setattr(Source, "rows", lambda _, release: rows(release))
    names = own_names()
    done = simple_evaluate(
        model="dummy",
        tasks=sorted(names),
        task_manager=manager,
        limit=1,
        bootstrap_iters=0,
        verbosity="ERROR",
        confirm_run_unsafe_code=True,
    )
    assert done is not None
    ran = set(done["samples"])
    assert len(ran) > 200
    for name in names:
        leaves = [task for task in ran if task == name or task.startswith(f"{name}::")]
        # BBH's tasks keep lm-eval's own names there
        assert leaves or name == "bbh_cot", name
    assert sum(task.startswith("bbh_cot_fewshot_") for task in ran) == 27
    assert {name for name in names if name in done["groups"]} == {
        name for name in names if library.own_index()[name].kind == "group"
    }


def test_no_name_of_ours_hides_one_of_lm_evals() -> None:
    assert not own_names() & library.library_index().keys()
