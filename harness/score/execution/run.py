"""Programs to verdicts: the one interface of the execution layer."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.score.execution import cache as store
from harness.score.execution import pool, toolchains
from harness.score.execution.language import Language, judge
from harness.score.execution.languages import LANGUAGES, of
from harness.score.execution.sandbox import Agent, choose
from harness.score.execution.spec import Limits, Program, SandboxName, Verdict


def execute(
    programs: Sequence[Program],
    *,
    limits: Limits | None = None,
    sandbox: SandboxName = "auto",
    workers: int | None = None,
    cache: Path | None = None,
) -> list[Verdict]:
    """Run programs with their tests, in parallel, and return their verdicts in the same order.

    `workers` is the number of programs at a time (the cores by default), `cache` a file of earlier
    verdicts. A program in a language that is not installed gets `missing_tool`: ask `toolchains.require`
    first. Raises UserError for an unknown language or sandbox.
    """
    limits = limits or Limits()
    sandbox = choose(sandbox)
    tools = {language: toolchains.find(language) for language in {program.language for program in programs}}
    verdicts: dict[int, Verdict] = {}
    keys: dict[int, str] = {}
    for number, program in enumerate(programs):
        tool = tools[program.language]
        if tool.missing:
            names = ", ".join(missing.name for missing in tool.missing)
            verdicts[number] = Verdict("missing_tool", f"not installed: {names}")
        keys[number] = store.key(program=program, limits=limits, toolchain=tool.text, sandbox=sandbox)
    if cache:
        with store.Cache(cache) as stored:
            found = {number: stored.get(key) for number, key in keys.items() if number not in verdicts}
        verdicts |= {number: Verdict(**value) for number, value in found.items() if value}
    fresh = [number for number in range(len(programs)) if number not in verdicts]
    folders = _folders({programs[number].language for number in fresh})
    jobs = [_job(programs[number], limits) for number in fresh]
    outcomes = pool.run([task for task, _marker in jobs], sandbox, workers, folders)
    kept: dict[str, Any] = {}
    for number, (_task, marker), outcome in zip(fresh, jobs, outcomes, strict=True):
        verdicts[number] = _verdict(programs[number], marker, outcome)
        if not outcome.died:
            kept[keys[number]] = dataclasses.asdict(verdicts[number])
    if cache and kept:
        with store.Cache(cache) as stored:
            stored.put(kept)
    return [verdicts[number] for number in range(len(programs))]


def python_check(program: str, check: str, **options: Any) -> Verdict:
    """The verdict on one Python program whose tests are code that calls its functions. Options as of
    `execute`."""
    return execute([Program("python", program, check)], **options)[0]


def _folders(languages: set[str]) -> Mapping[str, Path]:
    found = {name: toolchains.warm_folder(LANGUAGES[name]) for name in sorted(languages)}
    return {name: folder for name, folder in found.items() if folder}


def _job(program: Program, limits: Limits) -> tuple[pool.Task, str]:
    """The task for a program, and the marker that its tests write when they have finished."""
    language = of(program)
    if language.name == "python":
        mode = "serve" if program.tests else "script"
        request = base_request(language, limits) | {
            "kind": "python", "mode": mode, "source": program.source, "entry_point": program.entry_point,
            "inputs": [],
            "wall": limits.wall, "step_limits": {"cpu": math.ceil(limits.cpu)},
        }  # fmt: skip
        return pool.Task(
            language.name,
            lambda _agent: request,
            {"check": program.tests, "entry_point": program.entry_point},
        ), ""
    # Drawn anew for each run: a program cannot know it, and without it no exit code is a pass.
    marker = f"finished-{secrets.token_hex(16)}" if program.tests else ""
    tests = language.finish(program.tests, marker) if program.tests else ""
    text = program.source + tests

    def request_for(agent: Agent) -> Mapping[str, Any]:
        commands = language.commands(text, agent.folder(language.name) if language.name in agent.folders else "")
        run = {"argv": commands.run, "wall": limits.wall, "limits": {"cpu": math.ceil(limits.cpu)}}
        steps: list[Mapping[str, Any]] = [run]
        if commands.compile:
            compiling = {"cpu": math.ceil(limits.compile_wall)}
            steps.insert(0, {"argv": commands.compile, "wall": limits.compile_wall, "limits": compiling})
        return base_request(language, limits) | {
            "kind": "steps", "files": {language.file: text}, "steps": steps,
            "service": commands.service, "service_wall": limits.compile_wall,
        }  # fmt: skip

    return pool.Task(language.name, request_for, {}), marker


def base_request(language: Language, limits: Limits) -> dict[str, Any]:
    """What every request to an agent holds."""
    return {
        "files": {},
        "limits": {
            language.memory: limits.memory,
            "processes": limits.processes,
            "file_size": limits.file_size,
            "open_files": 256,
            "core": 0,
        },
        "memory": limits.memory,
        "output": limits.output,
        "environment": dict(language.environment),
    }


def _verdict(program: Program, marker: str, outcome: pool.Outcome) -> Verdict:
    if outcome.died:
        return Verdict("error", f"the sandbox ended with the program: {outcome.died}"[:500])
    language = of(program)
    result = outcome.result
    if language.name == "python":
        return python_verdict(result)
    compiled = result[0] if len(result) > 1 or _only_compiled(language, result) else None
    judged = judge(language, result, marker, compiled is not None)
    last = result[-1]
    stdout = last["stdout"].replace(marker, "") if marker else last["stdout"]
    return Verdict(
        judged.status, judged.detail, stdout, last["stderr"],
        compile_seconds=compiled["wall"] if compiled else 0.0,
        run_seconds=0.0 if compiled is last else last["wall"],
        cpu_seconds=last["cpu"], published_pass=judged.published_pass,
    )  # fmt: skip


def _only_compiled(language: Language, result: Sequence[Mapping[str, Any]]) -> bool:
    commands = language.commands("", "")
    return bool(commands.compile or commands.service) and len(result) == 1


def python_verdict(result: Mapping[str, Any]) -> Verdict:
    """The verdict on a Python program, from what the judge beside it says and what the sandbox measured."""
    status, detail = result["status"], result["detail"]
    if result["reason"] == "timeout" or result["code"] == -24:
        status, detail = "timeout", "over its time limit"
    elif result["reason"] == "memory":
        status, detail = "out_of_memory", "over its memory limit"
    elif result["reason"] == "output":
        status, detail = "error", "over its output limit"
    elif "MemoryError" in detail:
        status = "out_of_memory"
    return Verdict(
        status, detail, result["stdout"], result["stderr"],
        run_seconds=result["wall"], cpu_seconds=result["cpu"], published_pass=status == "passed",
    )  # fmt: skip
