"""Before the model is loaded: what the backend can do, and what will be asked of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from harness.backends import make_backend
from harness.backends.base import Backend, Capabilities, Remote
from harness.collect.budget import Budget
from harness.config import Config
from harness.errors import MissingError, UserError
from harness.plan import Generate, Plan, Score, make_plan
from harness.plan.lettered import bare
from harness.plan.planner import BenchmarkPlan, Settings
from harness.score.execution import toolchains


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the model is loaded."""

    config: Config
    """The checked configuration."""
    backend: Backend
    """Checked, not loaded."""
    plan: Plan
    """What will be asked."""


def prepare(config: Config, budget: Budget | None = None) -> Prepared:
    """Check the backend and plan the suite.

    Args:
        config: checked.
        budget: pays for asking a server what it can do; without one, nothing will be asked, and the plan takes the
            backend to be there and able.

    Raises:
        UserError: anything that the user must mend first.
        BackendError: the server cannot be asked.
    """
    quiet_libraries()
    backend = make_backend(config.backend_kind, config.backend)
    backend.check(asks=budget is not None)
    certain = True
    if isinstance(backend, Remote):
        certain = budget is not None
        if budget is not None:
            backend.probe(budget)
    able = backend.capabilities
    settings = _settings(config, able)
    plan = make_plan(config.benchmarks, config.source, settings, strict=config.strict, named=config.named)
    kept, skipped = [], dict(plan.skipped)
    for bench in plan.benchmarks:
        reason = (_unable(bench, able, bool(settings.chat)) if certain else None) or _lacking(bench)
        if reason is None:
            kept.append(bench)
        elif config.named or config.strict:
            raise MissingError(f"{bench.benchmark.name}: {reason}", "Mend that, or leave the benchmark out.")
        else:
            skipped[bench.benchmark.name] = reason
    for row in config.composites:
        lacking = [name for name in row.members if name in skipped]
        if lacking:
            skipped[row.name] = f"it is a mean of {', '.join(row.members)}, and {', '.join(lacking)} cannot run"
    return Prepared(replace(config, settings=settings), backend, Plan(tuple(kept), skipped, config.composites))


def _settings(config: Config, able: Capabilities) -> Settings:
    """What the plan depends on, with what was left to the backend filled in.

    Raises:
        UserError: plain prompts for a backend that only has conversations.
    """
    chat, form = config.settings.chat, config.settings.form
    if chat is None:
        chat = not able.plain
    elif not chat and not able.plain:
        raise UserError(
            "prompt.chat = false, but this backend takes part in conversations only.",
            "Set prompt.chat to true or null.",
        )
    if form == "auto" and not (able.loglikelihood and (able.loglikelihood_in_chat or not chat)):
        form = "letters" if (able.letters_in_chat if chat else able.letters) else "generation"
    return replace(config.settings, form=form, chat=chat, continues=able.continues)


def _unable(bench: BenchmarkPlan, able: Capabilities, chat: bool) -> str | None:
    """Why a benchmark cannot be answered here, if it cannot."""
    whole = able.loglikelihood and (able.loglikelihood_in_chat or not chat)
    letters = able.letters_in_chat if chat else able.letters
    for request in bench.requests:
        if isinstance(request, Score) and not whole:
            if not (letters and all(re.fullmatch(r"[A-Z]", bare(text)) for text in request.continuations)):
                return (
                    "it needs log-likelihoods of given answers, which this backend does not return: "
                    "set prompt.form=auto"
                )
        elif isinstance(request, Generate):
            if not able.generation:
                return "it needs generated text, which this backend does not return"
            if request.response_format is not None and not able.formats:
                return "this backend cannot keep to generation.response_format: set it to null"
    return None


def _lacking(bench: BenchmarkPlan) -> str | None:
    """Why a benchmark cannot be judged here, if it cannot."""
    try:
        toolchains.require(bench.languages)
    except UserError as error:
        return f"{error.problem} {error.remedy}"
    return None


def quiet_libraries() -> None:
    """No progress bars but our own; tqdm reads this when it is first imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
