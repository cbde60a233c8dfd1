"""The configuration: composed by Hydra, checked once at the border, plain frozen values from here on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness import schema
from harness.errors import UserError
from harness.estimate import Hardware
from harness.nearest import did_you_mean
from harness.paths import conf_dir, project_root
from harness.plan.benchmark import Benchmark, Composite
from harness.plan.data import Source
from harness.plan.planner import Settings
from harness.plan.shots import SAMPLERS
from harness.schema import Root
from harness.score.execution.spec import SandboxName
from harness.typed import typed

if TYPE_CHECKING:
    from omegaconf import DictConfig

SPEC_KEYS = {"title", "tasks", "members", "shots", "metric", "filter", "average", "choices"}
OPEN = ("shots.", "precision.min.", "backend.engine.")
FORMS = ("auto", "loglikelihood", "letters", "generation")


@dataclass(frozen=True)
class Precision:
    """When enough docs of a benchmark have been asked."""

    halfwidth: float | None
    """Points: its interval is this narrow."""
    floors: dict[str, float]
    """Points by benchmark: it is surely above or below."""
    baseline: Path | None
    """A run: it is surely no worse than that one by the margin, or surely worse."""
    margin: float
    """Points."""

    @property
    def described(self) -> dict[str, Any]:
        """Plain data: part of what makes two runs the same measurement."""
        return {**vars(self), "baseline": None if self.baseline is None else str(self.baseline)}


@dataclass(frozen=True)
class Config:
    """A checked configuration."""

    benchmarks: tuple[Benchmark, ...]
    """What runs, in order; members of a row stand for it."""
    composites: tuple[Composite, ...]
    """The rows that are made of members."""
    named: bool
    """Whether the user named the benchmarks (``benchmarks=``) instead of taking a suite."""
    suite: str
    """The suite's name, or the named benchmarks joined by ``+``."""
    backend_kind: str
    """Which kind of backend answers."""
    backend: dict[str, Any]
    """Its options."""
    source: Source
    """Where data sets come from."""
    settings: Settings
    """What else the plan depends on."""
    strict: bool
    """Whether a benchmark that cannot run stops the run."""
    sandbox: SandboxName
    """How programs are run."""
    workers: int | None
    """Programs at once."""
    run_name: str | None
    """The run's name, if the user gave one."""
    run_dir: Path
    """The folder of all runs."""
    reference: str
    """The published column that differences are taken to."""
    hardware: Hardware
    """What the plan's arithmetic assumes of a large model."""
    precision: Precision | None
    """When to stop asking; None asks every doc."""
    budget: float | None
    """US dollars that the run may be charged; None is no limit."""
    resolved: dict[str, Any]
    """The composed configuration as plain data, for the receipt."""


def load(overrides: Sequence[str]) -> Config:
    """Compose ``conf/eval.yaml`` with command-line overrides and check it.

    Raises:
        UserError: an unknown key, group option or benchmark, or a value of the wrong type.
    """
    plain = to_plain(compose(overrides))
    specs = specs_of(plain)
    return check({**plain, "benchmark": specs})


def specs_of(plain: dict[str, Any]) -> dict[str, Any]:
    """Take the benchmarks' specs out of a composed configuration."""
    named = [key for key, value in plain.items() if isinstance(value, dict) and {"tasks", "members"} & value.keys()]
    return {key: plain.pop(key) for key in named}


def compose(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration, unchecked.

    Raises:
        UserError: Hydra cannot compose it.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if GlobalHydra.instance().is_initialized():
        GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            composed: DictConfig = hydra_compose("eval", overrides=accepted(overrides))
            return composed
        except (HydraException, OmegaConfBaseException) as error:
            raise explained(str(error), overrides) from error


def accepted(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra takes them: keys below these are not in the files, and a user adds them."""
    return [f"++{text}" if text.startswith(OPEN) else text for text in overrides]


def explained(message: str, overrides: Sequence[str]) -> UserError:
    """Hydra's complaint as one line and a remedy."""
    group = re.search(r"Could not find '([\w/]+)/([^/']+)'", message)
    if group:
        folder = conf_dir() / group[1]
        known = [file.stem for file in folder.glob("*.yaml")] if folder.is_dir() else []
        return UserError(f"{group[1]} = {group[2]}, which does not exist.", did_you_mean(group[2], known))
    key = re.search(r"Could not override '([^']+)'", message) or re.search(r"Key '([^']+)' is not in struct", message)
    if key:
        return UserError(f"unknown key {key[1]}.", did_you_mean(key[1], known_keys()))
    first = message.strip().splitlines()[0]
    return UserError(f"{' '.join(overrides)}: {first}", "Write overrides as key=value, lists as key=[a,b].")


def known_keys() -> list[str]:
    """All keys of the default configuration, dotted."""

    def walk(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, dict) or not node:
            return [prefix]
        return [prefix, *(k for key, value in node.items() for k in walk(value, f"{prefix}.{key}"))]

    plain = to_plain(compose([]))
    return [key for name, value in plain.items() for key in walk(value, name)]


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain data, interpolations resolved.

    Raises:
        UserError: an interpolation cannot be resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}", "Set the key that it refers to.") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check(resolved: dict[str, Any]) -> Config:
    """The one border: types, names and ranges.

    Args:
        resolved: the composed configuration as plain data, the benchmarks' specs under ``benchmark`` (as in receipts).

    Raises:
        UserError: see :func:`load`.
    """
    plain = dict(resolved)
    backend = dict(plain.pop("backend"))
    kind = str(backend.pop("kind", ""))
    specs = plain.pop("benchmark")
    root = typed(Root, plain)
    for name in root.shots:
        if name not in specs and name not in (root.benchmarks or []):
            raise UserError(f"shots.{name}: no such benchmark.", did_you_mean(name, specs))
    _one_of("fewshot.sampler", root.fewshot.sampler, SAMPLERS)
    _one_of("prompt.form", root.prompt.form, FORMS)
    _one_of("execution.sandbox", root.execution.sandbox, get_args(SandboxName))
    if root.limit is not None and root.limit < 1:
        raise UserError(
            f"limit = {root.limit}, which asks nothing.", "Set limit to 1 or more, or to null for all docs."
        )
    for key, value in vars(root.estimate).items():
        if value <= 0:
            raise UserError(f"estimate.{key} = {value:g}, which is not above 0.", "Give a number above 0.")
    named = root.benchmarks is not None
    names = root.benchmarks if root.benchmarks is not None else root.suite.benchmarks
    limit = root.limit if named or root.limit is not None else root.suite.limit
    if not names:
        raise UserError("benchmarks = [], which asks nothing.", "Name benchmarks, or choose a suite.")
    for name in root.precision.min:
        if "members" in specs.get(name, {}):
            members = ", ".join(specs[name]["members"])
            raise UserError(
                f"precision.min.{name}: {name} is a mean of {members}.",
                "Set floors for its members, or use harness gate.",
            )
    rows = [name for name in dict.fromkeys(names) if "members" in specs.get(name, {})]
    composites = tuple(_composite(name, specs, root.shots) for name in rows)
    leaves = dict.fromkeys(leaf for name in names for leaf in specs.get(name, {}).get("members", [name]))
    for name in root.shots:
        if name not in leaves and name not in rows:
            raise UserError(
                f"shots.{name} is set, but this run asks {', '.join(leaves)}.",
                f"Add {name} to benchmarks, or leave its shots alone.",
            )
    benchmarks = tuple(_benchmark(name, specs, root.shots) for name in leaves)
    # absolute, so that a receipt means the same folder wherever it is read
    source_root = Path(root.data.root).expanduser().resolve() if root.data.root else None
    plain["data"] = {**vars(root.data), "root": str(source_root) if source_root else None}
    if root.budget.usd is not None and not root.budget.usd > 0:
        raise UserError(f"budget.usd = {root.budget.usd:g}, which buys nothing.", "Give dollars above 0, or null.")
    generation = {k: v for k, v in vars(root.generation).items() if v is not None and k != "stream"}
    if isinstance(generation.get("response_format"), str):
        generation["response_format"] = {"type": generation["response_format"]}
    chosen = {name: specs[name] for name in [*rows, *leaves] if name in specs}
    prompt = root.prompt
    return Config(
        benchmarks=benchmarks,
        composites=composites,
        named=named,
        suite="+".join(names) if named else root.suite.name,
        backend_kind=kind,
        backend=backend,
        source=Source(root.data.kind, source_root),  # type: ignore[arg-type]  # the group has these three files
        settings=Settings(
            limit=limit,
            seed=root.seed,
            sampler=root.fewshot.sampler,
            system=prompt.system,
            generation=generation,
            longest=root.data.longest,
            form=prompt.form,
            chat=prompt.chat,
            multiturn=prompt.fewshot_as_multiturn,
        ),
        strict=root.strict,
        sandbox=root.execution.sandbox,  # type: ignore[arg-type]  # checked above
        workers=root.execution.workers,
        run_name=root.run.name,
        run_dir=Path(root.run.dir).expanduser() if root.run.dir else project_root() / "results" / "runs",
        reference=root.table.reference,
        hardware=Hardware(**vars(root.estimate)),
        precision=_precision(root.precision, limit),
        budget=root.budget.usd,
        resolved={**plain, "backend": {"kind": kind, **backend}, "benchmark": chosen},
    )


def _one_of(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"{key} = {value}, which is none of {', '.join(allowed)}.", did_you_mean(value, allowed))


def _options(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The protocol choices of a row, each with one of its allowed values."""
    for key, allowed in spec.get("choices", {}).items():
        _one_of(f"{name}.{key}", str(spec[key]), [str(value) for value in allowed])
    return {key: value for key, value in spec.items() if key not in SPEC_KEYS}


def _composite(name: str, specs: dict[str, Any], shots: dict[str, int]) -> Composite:
    spec = specs[name]
    if name in shots:
        raise UserError(
            f"shots.{name} = {shots[name]}, but {name} is a mean of {', '.join(spec['members'])}.",
            f"Set the shots of its members: shots.{spec['members'][0]}={shots[name]}.",
        )
    return Composite(name, spec["title"], tuple(spec["members"]), spec["average"], _options(name, spec))


def _precision(wanted: schema.Precision, limit: int | None) -> Precision | None:
    if wanted.halfwidth is None and not wanted.min and wanted.baseline is None:
        return None
    if wanted.halfwidth is not None and wanted.halfwidth <= 0:
        raise UserError(
            f"precision.halfwidth = {wanted.halfwidth:g}, which no number of docs reaches.",
            "Give points above 0, or null to ask all docs.",
        )
    if wanted.margin < 0:
        raise UserError(f"precision.margin = {wanted.margin:g}, which is negative.", "Give points of 0 or more.")
    if limit is not None:
        raise UserError(
            f"limit = {limit}, together with precision.*: the first docs of a set are no random sample of it.",
            "Leave one of them out (limit=null for a suite with a limit of its own).",
        )
    baseline = Path(wanted.baseline).expanduser() if wanted.baseline is not None else None
    return Precision(wanted.halfwidth, dict(wanted.min), baseline, wanted.margin)


def _benchmark(name: str, specs: dict[str, Any], shots: dict[str, int]) -> Benchmark:
    spec = specs.get(name)
    if spec is None:
        from harness.plan import library

        if library.find(name) is None:
            near = difflib.get_close_matches(name, specs, n=1, cutoff=0.6)
            known = near or [*specs, *library.own_index(), *library.library_index()]
            raise UserError(f"benchmarks: no benchmark or lm-eval task {name}.", did_you_mean(name, known))
        return Benchmark(name, name, (name,), shots.get(name), None, None, from_table=False)
    options = _options(name, spec)
    asked = shots.get(name, spec["shots"])
    if asked is not None and asked < 0:
        raise UserError(f"shots.{name} = {asked}, which is negative.", "Set it to 0 or more.")
    return Benchmark(
        name,
        spec["title"],
        tuple(spec["tasks"]),
        asked,
        spec["metric"],
        spec.get("filter"),
        spec["average"],
        options,
        protocol_shots=spec["shots"],
    )
