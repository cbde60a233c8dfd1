"""From responses to per-sample verdicts, by lm-eval's own filters and metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.base import Generated, Response, Scored
from harness.errors import UserError
from harness.plan.benchmark import Benchmark
from harness.plan.planner import DocPlan, Plan, TaskPlan
from harness.score.extract import UNPARSED, Extracted
from harness.score.limit import UNREADABLE, VERDICT_SECONDS, limited

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TaskScores:
    """The verdicts of one task."""

    benchmark: str
    """The benchmark it belongs to."""
    task: str
    """The task's name."""
    metric: str
    """The metric that fills the row."""
    filter: str
    """The filter whose output is scored."""
    form: str
    """``loglikelihood`` or ``generation``."""
    samples: pd.DataFrame
    """One row a doc (see docs/results.md)."""
    values: dict[str, list[Any]]
    """What lm-eval aggregates, per metric; the keys of other filters end in ``,filter``."""
    aggregations: dict[str, Any]
    """lm-eval's aggregation function per metric."""
    higher_is_better: dict[str, bool]
    """Per metric."""


def score_plan(plan: Plan, responses: Mapping[str, Response]) -> list[TaskScores]:
    """Verdicts for every task of a plan.

    Raises:
        UserError: a response is missing.
    """
    return [
        score_task(task, bench.benchmark, responses) for bench in plan.benchmarks for task in bench.tasks if task.docs
    ]


def score_task(plan: TaskPlan, benchmark: Benchmark, responses: Mapping[str, Response]) -> TaskScores:
    """Verdicts for the docs of one task."""
    import pandas as pd

    task = plan.task
    answers = [_answers(doc, responses) for doc in plan.docs]
    filtered = _filtered(task, plan.docs, answers)
    filters = list(filtered)
    lettered = getattr(task, "lettered", False)
    chosen = _named("filter", benchmark, benchmark.filter, filters, lettered)
    values: dict[str, list[Any]] = {}
    for name in [chosen, *(f for f in filters if f != chosen)]:
        for i, doc in enumerate(plan.docs):
            filtered[name][i], worth = verdict(task, doc.doc, filtered[name][i])
            for metric, value in worth.items():
                values.setdefault(metric if name == chosen else f"{metric},{name}", []).append(value)
    metric = _named("metric", benchmark, benchmark.metric, list(values), lettered)
    form = "generation" if isinstance(answers[0][0], str) else "loglikelihood"
    frame = {
        "doc_id": [doc.doc_id for doc in plan.docs],
        "task": plan.name,
        "prompt_sha256": [doc.prompt_sha256 for doc in plan.docs],
        "target": [_target(task, doc.doc) for doc in plan.docs],
        **_texts(task, plan.docs, answers, filtered[chosen], metric),
        "score": [_plain(v) for v in values[metric]],
        **{name: [_plain(v) for v in column] for name, column in values.items() if len(column) == len(plan.docs)},
        "truncated": [_truncated(doc, responses) for doc in plan.docs],
    }
    column = (task.config.metadata or {}).get("cluster") or (task.config.metadata or {}).get("unit")
    if column:
        frame["cluster"] = [_unit(doc, column, benchmark) for doc in plan.docs]
    return TaskScores(
        benchmark.name,
        plan.name,
        metric,
        chosen,
        form,
        pd.DataFrame(frame),
        values,
        {name: task.aggregation().get(name.split(",")[0]) for name in values},
        {name: bool(task.higher_is_better().get(name.split(",")[0], True)) for name in values},
    )


def verdict(task: Any, doc: dict[str, Any], results: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """What an answer is worth, by metric; one that cannot be compared within the time limit counts as unparsed."""
    try:
        with limited(VERDICT_SECONDS):
            return results, dict(task.process_results(doc, results))
    except UNREADABLE as error:
        if task.OUTPUT_TYPE != "generate_until":
            raise
        logging.getLogger(__name__).info("%s: an answer cannot be read: %s", task.task_name, error)
        results = [Extracted(UNPARSED)]
        return results, dict(task.process_results(doc, results))


def _named(what: str, benchmark: Benchmark, name: str | None, known: Sequence[str], lettered: bool) -> str:
    """The filter or metric that fills the row: the task's first where the row names none, or in the generated form."""
    if name in known:
        return str(name)
    if name is None or lettered or not benchmark.from_table or known == ["none"]:
        return known[0]
    raise UserError(f"{benchmark.name}.{what} = {name}, which its task does not have.", f"It has: {', '.join(known)}.")


def _unit(doc: DocPlan, column: str, benchmark: Benchmark) -> str:
    """What a doc shares with others, in all tasks of a row; a number means nothing outside of its benchmark."""
    label = doc.doc_id if column == "doc_id" else str(doc.doc[column])
    return f"{benchmark.name}/{label}" if label.isdigit() else label


def _answers(doc: DocPlan, responses: Mapping[str, Response]) -> list[Any]:
    """For each of lm-eval's instances: (log-likelihood, is greedy), or the text."""
    answers: list[Any] = []
    for request, part in doc.slots:
        response = responses.get(doc.requests[request].hash)
        if isinstance(response, Scored):
            answers.append((response.logprobs[part], response.greedy[part]))
        elif isinstance(response, Generated):
            answers.append(response.text)
        else:
            raise UserError(
                f"doc {doc.doc_id}: its response is missing.", "Run harness eval again: it asks only what is missing."
            )
    return answers


def _filtered(task: Any, docs: Sequence[DocPlan], answers: list[list[Any]]) -> dict[str, list[list[Any]]]:
    """Per filter, what ``process_results`` takes for each doc."""
    from lm_eval.api.instance import Instance

    if isinstance(answers[0][0], tuple):
        return {"none": answers}
    instances = []
    for i, (doc, texts) in enumerate(zip(docs, answers, strict=True)):
        instance = Instance("generate_until", doc.doc, ("", {}), 0, metadata=(task.task_name, i, len(texts)))
        instance.resps = texts
        instances.append(instance)
    for ensemble in task._filters:
        ensemble.apply(instances)
    names = [ensemble.name for ensemble in task._filters]
    return {name: [[instance.filtered_resps[name]] for instance in instances] for name in names}


def _texts(
    task: Any, docs: Sequence[DocPlan], answers: list[list[Any]], filtered: list[list[Any]], metric: str
) -> dict[str, list[Any]]:
    """What was said, what was taken from it, and by which rule."""
    if isinstance(answers[0][0], tuple):
        return {
            "raw": [json.dumps([ll for ll, _ in answer]) for answer in answers],
            "extracted": [_picked(task, doc.doc, answer, metric) for doc, answer in zip(docs, answers, strict=True)],
            "rule": ["argmax" for _ in docs],
            "unparsed": [False for _ in docs],
        }
    taken = [results[0][0] if isinstance(results[0], list) else results[0] for results in filtered]
    return {
        "raw": [valid(texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)) for texts in answers],
        "extracted": [valid(str(value)) for value in taken],
        "rule": [value.rule if isinstance(value, Extracted) else None for value in taken],
        "unparsed": [str(value) == UNPARSED for value in taken],
    }


def valid(text: str) -> str:
    """Text that Parquet can hold: a lone surrogate becomes a replacement character."""
    return text.encode("utf-8", "replace").decode()


def _picked(task: Any, doc: dict[str, Any], answer: list[tuple[float, bool]], metric: str) -> str | None:
    """The choice with the highest (normalised) log-likelihood."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return None
    choices = task.doc_to_choice(doc)
    values = np.array([ll for ll, _ in answer[: len(choices)]])
    if metric == "acc_norm":
        values = values / [len(choice) for choice in choices]
    elif metric == "acc_bytes":
        values = values / [len(choice.encode()) for choice in choices]
    return str(choices[int(values.argmax())])


def _target(task: Any, doc: dict[str, Any]) -> str:
    if task.OUTPUT_TYPE == "multiple_choice":
        choices = task.doc_to_choice(doc)
        gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
        if isinstance(gold, int) and 0 <= gold < len(choices):
            return str(choices[gold])
        return str(gold)
    return str(task.doc_to_target(doc))


def _truncated(doc: DocPlan, responses: Mapping[str, Response]) -> bool:
    answers = (responses[request.hash] for request in doc.requests)
    return any(isinstance(answer, Generated) and answer.finish == "length" for answer in answers)


def _plain(value: Any) -> float | None:
    """A verdict as a number; None for what only an aggregate can tell (BLEU's pairs, for example)."""
    return float(value) if isinstance(value, (bool, int, float, np.number)) else None
