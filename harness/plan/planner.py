"""From a suite to requests: pure, with no model and no network but the data sets."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import MissingError, UserError
from harness.plan import library
from harness.plan.benchmark import Benchmark, Composite
from harness.plan.data import Repo, Source
from harness.plan.lettered import has_letters, lettered
from harness.plan.prompt import Prompt, Prompter, Style
from harness.plan.request import Generate, Message, Request, Sampling, Score, transcript

DEFAULT_MAX_TOKENS = 256  # lm-eval's own default where a task names none


@dataclass(frozen=True)
class Settings:
    """What the plan depends on, beside the benchmarks and the data."""

    limit: int | None = None
    """Docs per benchmark, spread evenly over its tasks; None asks all."""
    seed: int = 0
    """Seed of drawn shots and of sampled generation."""
    sampler: str = "first_n"
    """How shots are chosen: ``first_n`` or ``seeded``."""
    system: str | None = None
    """A system prompt before each task's own header."""
    generation: dict[str, Any] = field(default_factory=dict)
    """Overrides of the tasks' generation limits and sampling, by name."""
    longest: int | None = None
    """The most new tokens of an answer where its task allows more and no override says otherwise."""
    form: str = "auto"
    """``generation`` asks questions with choices for a letter, ``letters`` those whose choices have none of their own;
    else each task keeps its form."""
    chat: bool | None = None
    """Whether prompts are conversations; None is no, unless the backend knows nothing else."""
    multiturn: bool = False
    """In chat form, whether each few-shot doc is a turn of its own."""
    continues: bool = True
    """In chat form, whether the backend can continue an assistant's turn."""


@dataclass(frozen=True)
class DocPlan:
    """One doc of a task with the requests that answer it."""

    doc_id: str
    """The doc's id in its data set, or its row number."""
    doc: dict[str, Any]
    """The doc itself."""
    requests: tuple[Request, ...]
    """What is asked."""
    slots: tuple[tuple[int, int], ...]
    """For each of lm-eval's instances: (request, continuation or repeat) that answers it."""
    prompt_sha256: str
    """Hash of the prompt."""


@dataclass(frozen=True)
class TaskPlan:
    """One task of a benchmark."""

    name: str
    """The task's name."""
    task: Any
    """The lm-eval task object."""
    shots: int
    """Few-shot docs before each question."""
    docs: tuple[DocPlan, ...]
    """The docs that are asked."""
    available: int
    """Docs in the evaluated split."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """One benchmark with its tasks."""

    benchmark: Benchmark
    """The row."""
    tasks: tuple[TaskPlan, ...]
    """Its tasks that can be asked."""
    repos: tuple[Repo, ...]
    """The data sets that were read for it."""
    absent: tuple[str, ...] = ()
    """Tasks left out because the data source (sample docs) does not have them."""

    @property
    def requests(self) -> Iterator[Request]:
        """All requests, task by task, doc by doc."""
        return (r for task in self.tasks for doc in task.docs for r in doc.requests)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the programs that are run to judge the answers; none for most benchmarks."""
        named = (task.task.config.metadata or {} for task in self.tasks)
        return tuple(sorted({language for metadata in named for language in metadata.get("languages", ())}))

    @property
    def lettered(self) -> bool:
        """Whether letters are generated where the protocol compares log-likelihoods."""
        return any(getattr(task.task, "lettered", False) for task in self.tasks)

    @property
    def complete(self) -> bool:
        """Whether every doc of every task is asked, on whole data sets."""
        whole = all(len(task.docs) == task.available for task in self.tasks)
        return whole and not self.absent and all(repo.complete for repo in self.repos)

    @property
    def sample_data(self) -> bool:
        """Whether any of the data are sample docs made for the project."""
        return not all(repo.complete for repo in self.repos)


@dataclass(frozen=True)
class Plan:
    """Everything that will be asked."""

    benchmarks: tuple[BenchmarkPlan, ...]
    """In the order of the suite."""
    skipped: dict[str, str]
    """Benchmarks that cannot run, with the reason."""
    composites: tuple[Composite, ...] = ()
    """Rows made of benchmarks; one whose members are not all planned has no figure."""

    @property
    def requests(self) -> Iterator[Request]:
        """All requests in order; equal ones are not merged."""
        return itertools.chain.from_iterable(b.requests for b in self.benchmarks)

    def unique(self) -> list[Request]:
        """The distinct requests, in order of first use."""
        return list({request.hash: request for request in self.requests}.values())

    def lines(self) -> Iterator[str]:
        """The plan as text: one line a request, the same bytes for the same config and data."""
        for bench in self.benchmarks:
            for task in bench.tasks:
                for doc in task.docs:
                    for request in doc.requests:
                        yield f"{bench.benchmark.name}\t{task.name}\t{doc.doc_id}\t{request.hash}\n"

    @property
    def sha256(self) -> str:
        """Hash of :meth:`lines`."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode())
        return digest.hexdigest()


def make_plan(
    benchmarks: Sequence[Benchmark], source: Source, settings: Settings, *, strict: bool, named: bool
) -> Plan:
    """Plan all benchmarks.

    A benchmark whose data is missing is skipped with its reason when it is part of a suite, and raises when the user
    named it (``named``) or asked for strictness.

    Raises:
        UserError: more shots than docs, an unknown task, or, as above, missing data.
    """
    planned: list[BenchmarkPlan] = []
    skipped: dict[str, str] = {}
    for benchmark in benchmarks:
        try:
            planned.append(plan_benchmark(benchmark, source, settings))
        except MissingError as error:
            if named or strict:
                raise
            skipped[benchmark.name] = f"{error.problem} {error.remedy}"
    return Plan(tuple(planned), skipped)


def plan_benchmark(benchmark: Benchmark, source: Source, settings: Settings) -> BenchmarkPlan:
    """Plan one benchmark (see :func:`make_plan`)."""
    configs = [config for name in benchmark.tasks for config in library.leaf_configs(name)]
    built, absent, missing = [], [], None
    source = replace(source, read={})
    for config in configs:
        try:
            task = library.build(config, source, {**benchmark.options, "chat": bool(settings.chat)})
            generated = settings.form == "generation" or (settings.form == "letters" and not has_letters(task))
            built.append(lettered(task, settings.seed) if generated else task)
        except MissingError as error:
            # sample docs cover some subjects of a large set; elsewhere a missing part is a missing benchmark
            if source.kind != "sample":
                raise
            absent.append(str(config["task"]))
            missing = error
    if not built:
        assert missing is not None
        raise missing
    counts = _spread([len(task.task_docs) for task in built], settings.limit)
    tasks = []
    for task, count in zip(built, counts, strict=True):
        try:
            tasks.append(_plan_task(task, count, benchmark, settings))
        except UserError as error:
            raise type(error)(f"shots.{benchmark.name}: {error.problem}", error.remedy) from error
    return BenchmarkPlan(benchmark, tuple(tasks), tuple(source.read.values()), tuple(absent))


def _spread(sizes: list[int], limit: int | None) -> list[int]:
    """How many docs of each task: all, or ``limit`` in all, dealt round by round."""
    if limit is None or limit >= sum(sizes):
        return sizes
    counts = [0] * len(sizes)
    for i in itertools.cycle(range(len(sizes))):
        if sum(counts) >= limit:
            return counts
        if counts[i] < sizes[i]:
            counts[i] += 1
    return counts


def _plan_task(task: Any, count: int, benchmark: Benchmark, settings: Settings) -> TaskPlan:
    shots = benchmark.shots if benchmark.shots is not None else (task.config.num_fewshot or 0)
    prompter = Prompter(task, shots, settings.seed, settings.sampler, settings.system)
    style = Style(settings.multiturn, settings.continues) if settings.chat else None
    id_field = (task.config.metadata or {}).get("doc_id")
    docs = []
    rows = task.task_docs.to_list() if hasattr(task.task_docs, "to_list") else task.task_docs
    for row, doc in enumerate(itertools.islice(rows, count)):
        doc_id = str(doc[id_field]) if id_field else str(row)
        prompt = prompter.converse(doc, doc_id, style) if style else prompter.render(doc, doc_id)
        requests, slots = _requests(task, doc, doc_id, prompt, settings)
        docs.append(DocPlan(doc_id, doc, requests, slots, prompt.sha256))
    return TaskPlan(task.task_name, task, shots, tuple(docs), len(task.task_docs))


def _requests(
    task: Any, doc: dict[str, Any], doc_id: str, prompt: Prompt, settings: Settings
) -> tuple[tuple[Request, ...], tuple[tuple[int, int], ...]]:
    """lm-eval's instances of a doc, grouped: one request a context, with all its continuations."""
    contexts = prompt.contexts
    made = task.construct_requests(
        doc=doc,
        ctx=contexts if task.multiple_input else contexts[0],
        metadata=(task.task_name, doc_id, task.config.repeats),
        apply_chat_template=bool(settings.chat),
    )
    instances = made if isinstance(made, list) else [made]
    if instances[0].request_type == "generate_until":
        requests = list(_generations(task, doc_id, instances, prompt, settings))
        return tuple(requests), tuple((i, 0) for i in range(len(requests)))
    groups: dict[str, list[str]] = {}
    slots = []
    for instance in instances:
        before, text = instance.args if instance.request_type == "loglikelihood" else ("", instance.args[0])
        if before not in groups:
            groups[before] = []
        slots.append((list(groups).index(before), len(groups[before])))
        groups[before].append(text)
    scores = []
    spoken: dict[str, tuple[Message, ...]] = {transcript(messages): messages for messages in prompt.conversations}
    for before, texts in groups.items():
        if before in spoken:
            scores.append(Score("", "", tuple(texts), spoken[before]))
            continue
        prefix = prompt.prefix if before.startswith(prompt.prefix) else ""
        scores.append(Score(prefix, before[len(prefix) :], tuple(texts)))
    return tuple(scores), tuple(slots)


def _generations(
    task: Any, doc_id: str, instances: Iterable[Any], prompt: Prompt, settings: Settings
) -> Iterator[Generate]:
    for instance in instances:
        options = {**(instance.args[1] or {}), **(_chat(task) if settings.chat else {}), **settings.generation}
        until = options.get("until") or []
        sampled = bool(options.get("do_sample", options.get("temperature", 0.0) > 0)) or bool(
            settings.generation.get("temperature")
        )
        limit = next(
            (options[k] for k in ("max_tokens", "max_gen_toks", "max_new_tokens") if options.get(k) is not None),
            DEFAULT_MAX_TOKENS,
        )
        if settings.longest is not None and "max_tokens" not in settings.generation:
            limit = min(int(limit), settings.longest)
        wanted = settings.generation.get("response_format")
        form = None if wanted is None else json.dumps(wanted, sort_keys=True)
        for repeat in range(task.config.repeats or 1):
            sampling = Sampling(
                temperature=float(options.get("temperature", 1.0)) if sampled else 0.0,
                top_p=float(options.get("top_p", 1.0)),
                top_k=int(options.get("top_k", 0)),
                min_p=float(options.get("min_p", 0.0)),
                repetition_penalty=float(options.get("repetition_penalty", 1.0)),
                presence_penalty=float(options.get("presence_penalty", 0.0)),
                frequency_penalty=float(options.get("frequency_penalty", 0.0)),
                seed=_seed(settings.seed, task.task_name, doc_id, repeat),
            )
            stop = (until,) if isinstance(until, str) else tuple(s for s in until if s)
            if prompt.conversations:
                yield Generate("", "", stop, int(limit), sampling, prompt.conversations[0], form)
            else:
                yield Generate(prompt.prefix, prompt.queries[0], stop, int(limit), sampling, response_format=form)


def _chat(task: Any) -> dict[str, Any]:
    """What of a task's generation limits is different in chat form: ``metadata: {chat: {…}}``."""
    chat = (task.config.metadata or {}).get("chat", {})
    return {key: value for key, value in chat.items() if key != "instruction"}


def _seed(seed: int, task: str, doc_id: str, repeat: int) -> int:
    key = hashlib.sha256(f"{seed}\0{task}\0{doc_id}\0{repeat}".encode()).digest()
    return int.from_bytes(key[:4], "big")
