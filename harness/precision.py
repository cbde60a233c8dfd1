"""Precision on demand: ask docs round by round, and stop a benchmark when they say enough."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.backends.base import Backend, Response
from harness.collect import Budget, Collected, Store, Totals, collect
from harness.compare.runs import Run, column_of, open_runs
from harness.compare.stopped import stopped_early
from harness.config import Precision
from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.plan import Plan
from harness.plan.order import stratified
from harness.plan.planner import BenchmarkPlan, DocPlan, TaskPlan
from harness.score import sequential
from harness.score.failures import have_answers
from harness.score.scorer import score_task

if TYPE_CHECKING:
    from harness.score.scorer import TaskScores

GROWTH = 1.25  # docs asked after a round, by those asked before it
ALL = "all docs were asked"


@dataclass(frozen=True)
class Enough:
    """What was asked of a plan, and why no more."""

    plan: Plan
    """The plan with the asked docs alone."""
    collected: Collected
    """Their responses."""
    stopped: dict[str, dict[str, Any]]
    """By benchmark: docs asked, docs there are, and the reason to stop; for the receipt."""


def ask_enough(
    plan: Plan, rule: Precision, seed: int, backend: Backend, store: Store, budget: Budget | None = None
) -> Enough:
    """Collect responses until every benchmark's rule is content, or all its docs are asked.

    Call it within :func:`harness.score.programs.executing`: verdicts are needed to decide.

    Raises:
        UserError: a rule names no benchmark of the plan, or the baseline cannot be paired with it.
        BackendError: the backend failed for good; what it answered is kept.
    """
    for name in rule.floors:
        known = [bench.benchmark.name for bench in plan.benchmarks]
        if name not in known:
            raise UserError(f"precision.min.{name}: the run has no such benchmark.", did_you_mean(name, known))
    base = open_runs([rule.baseline])[0] if rule.baseline is not None else None
    asking = [_Asking(bench, rule, seed, base) for bench in plan.benchmarks]
    responses: dict[str, Response] = {}
    totals = Totals()
    while unfinished := [one for one in asking if one.reason is None]:
        new = {one: one.next_docs() for one in unfinished}
        requests = {r.hash: r for docs in new.values() for _, part in docs for doc in part for r in doc.requests}
        found = collect([r for key, r in requests.items() if key not in responses], backend, store, budget)
        responses |= found.responses
        totals = Totals(**{f.name: getattr(totals, f.name) + getattr(found.totals, f.name) for f in fields(Totals)})
        for one, docs in new.items():
            one.learn(docs, responses)
            if one.reason is not None:
                name = one.bench.benchmark.name
                print(f"{name}: {one.asked:,} of {len(one.order):,} docs asked: {one.reason}", file=sys.stderr)
    kept = replace(plan, benchmarks=tuple(one.restricted() for one in asking))
    stopped = {
        one.bench.benchmark.name: {"asked": one.asked, "of": len(one.order), "stopped": one.reason} for one in asking
    }
    return Enough(kept, Collected(responses, totals), stopped)


@dataclass(eq=False)
class _Asking:
    """One benchmark on the way."""

    bench: BenchmarkPlan
    rule: Precision
    seed: int
    base: Run | None
    asked: int = 0
    reason: str | None = None
    _values: list[float] = field(default_factory=list)
    _strata: list[int] = field(default_factory=list)
    _keys: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tasks = self.bench.tasks
        self.number = {task.name: i for i, task in enumerate(tasks)}
        self.baseline = _baseline(self.bench, self.base) if self.base is not None else {}
        # with a baseline, only the docs that it has can be paired
        places = {
            task.name: [p for p, doc in enumerate(task.docs) if not self.baseline or (i, doc.doc_id) in self.baseline]
            for i, task in enumerate(tasks)
        }
        ids = {task.name: [task.docs[place].doc_id for place in places[task.name]] for task in tasks}
        drawn = stratified({name: own for name, own in ids.items() if own}, self.seed)
        self.order = [(name, places[name][i]) for name, i in drawn]
        whole = self.base is not None and self.baseline and not stopped_early(self.base, self.bench.benchmark.name)
        sizes = [len(places[task.name]) if whole else len(task.docs) for task in tasks]
        self.population = population(self.bench, sizes)
        ruled = self.rule.halfwidth is not None or self.bench.benchmark.name in self.rule.floors or bool(self.baseline)
        self._wanted = sequential.first_look(self.population) if ruled else len(self.order)

    def next_docs(self) -> list[tuple[TaskPlan, tuple[DocPlan, ...]]]:
        """The docs of the next round, task by task in the plan's order."""
        picked = self.order[self.asked : self._wanted]
        self.asked += len(picked)
        self._wanted = int(np.ceil(self.asked * GROWTH))
        found = []
        for task in self.bench.tasks:
            places = sorted(place for name, place in picked if name == task.name)
            if places:
                found.append((task, tuple(task.docs[place] for place in places)))
        return found

    def learn(self, docs: Sequence[tuple[TaskPlan, tuple[DocPlan, ...]]], responses: Mapping[str, Response]) -> None:
        """Score the new docs and decide."""
        for task, asked in docs:
            part = have_answers(asked, responses)
            if not part:
                continue
            scores = score_task(replace(task, docs=part), self.bench.benchmark, responses)
            number = self.number[task.name]
            self._values += scores.samples["score"].astype(float).tolist()
            self._strata += [number] * len(part)
            self._keys += [(number, doc.doc_id) for doc in part]
        if self.asked == len(self.order):
            self.reason = ALL
            return
        if not self._values:
            return
        values = np.array(self._values)
        if not ((values >= 0) & (values <= 1)).all():
            # a metric of the whole set: no doc says anything by itself
            self._wanted = len(self.order)
            return
        self.reason = self._decided(values, np.array(self._strata, dtype=np.intp))

    def _decided(self, values: NDArray[np.float64], strata: NDArray[np.intp]) -> str | None:
        """Why no more docs are needed; None if they are."""
        look = sequential.look(values, strata, self.population)
        if look is None:
            return None
        if self.rule.halfwidth is not None and 100 * look.halfwidth <= self.rule.halfwidth:
            return f"its interval is ±{100 * look.halfwidth:.2f}"
        verdicts: list[str | None] = []
        floor = self.rule.floors.get(self.bench.benchmark.name)
        if floor is not None:
            verdicts.append(_side(look, floor / 100, f"at least {floor:g}", f"below {floor:g}"))
        if self.baseline and self.base is not None:
            paired = values - np.array([self.baseline[key] for key in self._keys])
            found = sequential.look(paired, strata, self.population, span=2.0)
            margin = self.rule.margin
            no_worse = f"no worse than {self.base.name} by more than {margin:g}"
            worse = f"worse than {self.base.name} by more than {margin:g}"
            verdicts.append(None if found is None else _side(found, -margin / 100, no_worse, worse))
        known = [text for text in verdicts if text is not None]
        return f"surely {' and '.join(known)}" if known and len(known) == len(verdicts) else None

    def restricted(self) -> BenchmarkPlan:
        """The benchmark with the asked docs alone, in their own order."""
        asked = {(task, place) for task, place in self.order[: self.asked]}
        tasks = [
            replace(task, docs=tuple(doc for place, doc in enumerate(task.docs) if (task.name, place) in asked))
            for task in self.bench.tasks
        ]
        return replace(self.bench, tasks=tuple(task for task in tasks if task.docs))


def _side(look: sequential.Look, threshold: float, above: str, below: str) -> str | None:
    if look.low >= threshold:
        return above
    return below if look.high < threshold else None


def population(bench: BenchmarkPlan, sizes: Sequence[int]) -> sequential.Population:
    """All docs of a benchmark, weighted as its average weighs them."""
    docs = np.array(sizes, dtype=float)
    there = docs > 0
    weights = there / there.sum() if bench.benchmark.average == "macro" else docs / docs.sum()
    return sequential.Population(docs, weights)


def _baseline(bench: BenchmarkPlan, base: Run) -> dict[tuple[int, str], float]:
    """The baseline's verdicts by (task, doc id); empty where it does not have the benchmark.

    Raises:
        UserError: it was asked with other prompts.
    """
    name = bench.benchmark.name
    if name not in base.rows:
        return {}
    found: dict[tuple[int, str], float] = {}
    for number, task in enumerate(bench.tasks):
        if task.name not in base.scores["tasks"]:
            continue
        column = column_of(base, name, task.name)
        table = base.samples(task.name, ["doc_id", "prompt_sha256", column])
        prompts = {doc.doc_id: doc.prompt_sha256 for doc in task.docs}
        rows = zip(*(table[c].to_pylist() for c in ("doc_id", "prompt_sha256", column)), strict=True)
        for doc, prompt, score in rows:
            if doc not in prompts:
                continue
            if prompt is not None and prompt != prompts[doc]:
                raise UserError(
                    f"precision.baseline = {base.folder}, which was asked other prompts: doc {doc} of {task.name}.",
                    "Measure the baseline by the same protocol, or leave it out.",
                )
            if score is not None:
                found[number, doc] = float(score)
    return found


def asked_only(plan: Plan, responses: Mapping[str, Response]) -> Plan:
    """A plan without the docs that a run stopped before."""
    benchmarks = []
    for bench in plan.benchmarks:
        tasks = [
            replace(task, docs=tuple(doc for doc in task.docs if all(r.hash in responses for r in doc.requests)))
            for task in bench.tasks
        ]
        benchmarks.append(replace(bench, tasks=tuple(task for task in tasks if task.docs)))
    return replace(plan, benchmarks=tuple(benchmarks))


def annotate(
    summary: dict[str, Any], whole: Plan, scores: Sequence[TaskScores], stopped: Mapping[str, Mapping[str, Any]]
) -> None:
    """Put into ``scores.json`` the interval of each benchmark that stopped early.

    Value and standard error become those of the whole set's docs, the latter with the finite-population correction.
    """
    for bench in whole.benchmarks:
        name = bench.benchmark.name
        entry, why = summary["benchmarks"].get(name), stopped.get(name)
        if entry is None or why is None or entry["n"] >= entry["of"]:
            continue
        number = {task.name: i for i, task in enumerate(bench.tasks)}
        own = [s for s in scores if s.benchmark == name]
        values = np.concatenate([s.samples["score"].to_numpy(dtype=float) for s in own])
        strata = np.concatenate([np.full(len(s.samples), number[s.task], dtype=np.intp) for s in own])
        look = sequential.look(values, strata, population(bench, [len(task.docs) for task in bench.tasks]))
        interval = {} if look is None else {"low": look.low, "high": look.high}
        entry["precision"] = {"method": "confidence sequence", **interval, "stopped": why["stopped"]}
        if look is not None:
            entry |= {"value": look.value, "stderr": look.stderr}
    for row in whole.composites:
        entry = summary["benchmarks"].get(row.name)
        members = [summary["benchmarks"].get(name, {}) for name in row.members]
        early = [name for name, member in zip(row.members, members, strict=True) if member.get("precision")]
        if entry is None or not early:
            continue
        entry["precision"] = {"method": "members", "stopped": f"{', '.join(early)} stopped early"}
        if row.average == "members":
            entry["value"] = float(np.mean([member["value"] for member in members]))
            # members may share docs, in ways that their intervals no longer tell: the widest that this can be
            errors = [member["stderr"] for member in members]
            entry["stderr"] = None if None in errors else float(np.mean(errors))
