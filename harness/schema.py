"""The keys of the configuration and their types, but for a backend's and a benchmark's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.estimate import Hardware


@dataclass
class Fewshot:
    """How shots are chosen."""

    sampler: str = "first_n"


@dataclass
class Prompt:
    """How prompts are written."""

    system: str | None = None
    form: str = "auto"
    chat: bool | None = None
    fewshot_as_multiturn: bool = False


@dataclass
class Generation:
    """Overrides of the tasks' generation limits and sampling."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    response_format: Any = None
    stream: bool = False


@dataclass
class Execution:
    """How programs are run."""

    sandbox: str = "auto"
    workers: int | None = None


@dataclass
class Run:
    """The run's name and place."""

    name: str | None = None
    dir: str | None = None


@dataclass
class Table:
    """What the table compares with."""

    reference: str = "Qwen2-72B"


@dataclass
class Precision:
    """When to stop asking."""

    halfwidth: float | None = None
    min: dict[str, float] = field(default_factory=dict)
    baseline: str | None = None
    margin: float = 1.0


@dataclass
class Budget:
    """What a run may cost."""

    usd: float | None = None


@dataclass
class Estimate:
    """What the arithmetic of a plan assumes."""

    parameters: float = Hardware.parameters
    gpus: int = Hardware.gpus
    tflops: float = Hardware.tflops
    usd_per_million: float = Hardware.usd_per_million


@dataclass
class Suite:
    """A named set of benchmarks."""

    name: str = ""
    benchmarks: list[str] = field(default_factory=list)
    limit: int | None = None


@dataclass
class Data:
    """Where data sets come from."""

    kind: str = "sample"
    root: str | None = None
    longest: int | None = None


@dataclass
class Root:
    """The types of all keys that are not a backend's or a benchmark's own."""

    suite: Suite = field(default_factory=Suite)
    data: Data = field(default_factory=Data)
    benchmarks: list[str] | None = None
    limit: int | None = None
    seed: int = 0
    strict: bool = False
    shots: dict[str, int] = field(default_factory=dict)
    fewshot: Fewshot = field(default_factory=Fewshot)
    prompt: Prompt = field(default_factory=Prompt)
    generation: Generation = field(default_factory=Generation)
    execution: Execution = field(default_factory=Execution)
    run: Run = field(default_factory=Run)
    table: Table = field(default_factory=Table)
    estimate: Estimate = field(default_factory=Estimate)
    precision: Precision = field(default_factory=Precision)
    budget: Budget = field(default_factory=Budget)
