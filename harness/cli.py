"""The command line: verbs, exit codes, and one clear line for what the user must change.

Heavy modules are imported by the verb that needs them, so that ``harness --help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from harness.errors import BackendError, UserError

if TYPE_CHECKING:
    from rich.console import Console

PAGE = "report.html"
EPILOG = """\
eval and plan take Hydra overrides (key=value); `harness eval -m key=a,b` runs several configurations.
Exit codes: 0 fine; 1 the measurement says no; 2 something to change, named in one line; 3 the backend failed.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    options = parser().parse_args(arguments)
    sys.exit(guarded(lambda: options.verb(options)))


def guarded(verb: Callable[[], int]) -> int:
    """The verb's exit code; the exceptions that cross package borders become a line and a code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return verb()
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BackendError as error:
        print(
            f"error: {error}\n       What was answered is kept; the same command goes on from there.", file=sys.stderr
        )
        return 3
    except KeyboardInterrupt:
        print("\nstopped. Everything answered so far is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of a pipe has seen enough; keep Python from complaining again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser(
        prog="harness",
        description="Measure language models by published protocols.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def add(name: str, verb: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.set_defaults(verb=verb)
        return made

    made = add("eval", run_eval, "plan, collect, score, table; resumes an interrupted run of the same name")
    made.add_argument("-m", "--multirun", action="store_true", help="run every combination of comma-separated values")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides of conf/eval.yaml")
    made = add("plan", run_plan, "what would be asked: requests, tokens, price, time; asks nothing")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides of conf/eval.yaml")
    made = add("score", run_score, "score stored responses again, no model")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder")
    made.add_argument("--against-published", action="store_true", help="beside the verdicts that came with the outputs")
    made.add_argument("--samples", action="store_true", help="list the samples whose verdicts differ")
    made.add_argument("--format", choices=["text", "md"], default="text", help="of the agreement's table")
    made = add("import", run_import, "foreign outputs as a run: published outputs, lm-eval samples, EvalPlus results")
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files of one model")
    made.add_argument("--run", required=True, metavar="NAME", help="the run's name")
    made.add_argument("--data-root", type=Path, metavar="DIR", help="a mirror of the data sets, to join the docs")
    made.add_argument("--benchmark", help="what the file is scored as, instead of what its name says")
    made.add_argument("--model", help="the model's name, instead of what the file's name says")
    made.add_argument("--with", nargs="+", default=[], metavar="key=value", dest="choices", help="protocol choices")
    made = add("table", run_table, "the published table with the measured columns beside it")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder")
    made.add_argument("--format", choices=["md", "csv", "json", "latex", "html"], help="instead of the terminal's")
    made.add_argument("--reference", default="Qwen2-72B", help="the published column that differences are taken to")
    made.add_argument(
        "--verdict", action="store_true", help="say of each figure whether it agrees with the published one"
    )
    made = add("compare", run_compare, "runs side by side: paired differences, tests, verdicts, and docs that flipped")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a baseline, then the runs to judge against it")
    made.add_argument("--matrix", action="store_true", help="every run against every other")
    made.add_argument("--force", action="store_true", help="compare different protocols, and say what differs")
    points = "a row that could not show this difference has too few docs (5)"
    made.add_argument("--margin", type=float, default=5.0, metavar="POINTS", help=points)
    flipped = "list docs that one has right and the other wrong: N each way and row (5)"
    made.add_argument("--samples", nargs="?", type=int, const=5, default=0, metavar="N", help=flipped)
    made.add_argument("--format", choices=["md", "csv", "json", "latex", "html"], help="instead of the terminal's")
    made = add("report", run_report, "one self-contained HTML page: table, charts, comparison, and every sample")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder; the first is the baseline")
    place = "the page (one run: report.html in its folder; several: report.html here)"
    made.add_argument("--output", "-o", type=Path, metavar="FILE", help=place)
    made.add_argument("--reference", default="Qwen2-72B", help="the published column that differences are taken to")
    size = "megabytes that the page may have; the middle of long texts is left out beyond (24)"
    made.add_argument("--size", type=float, default=24.0, metavar="MB", help=size)
    made = add("gate", run_gate, "for CI: exit 0 or 1 with a reason a line")
    made.add_argument("run", type=Path, metavar="RUN", help="the run to judge")
    made.add_argument("--baseline", type=Path, metavar="RUN", help="it must be no worse than this one, on all its rows")
    made.add_argument("--min", action="append", default=[], metavar="BENCHMARK=SCORE", help="a floor, in points")
    worse = "points that it may be worse by (1), for all rows or as BENCHMARK=POINTS for one"
    made.add_argument("--margin", action="append", default=[], metavar="POINTS", help=worse)
    undecided = "what becomes of a row whose interval holds both answers (fail)"
    made.add_argument("--undecided", choices=["fail", "pass"], default="fail", help=undecided)
    made.add_argument("--junit", type=Path, metavar="FILE", help="write the checks as JUnit XML")
    made.add_argument("--summary", type=Path, metavar="FILE", help="write them as Markdown")
    made = add("data", run_data, "fetch: a suite's data sets as a mirror folder, for machines without a network")
    made.add_argument("what", choices=["fetch"])
    made.add_argument("suite", metavar="SUITE", help="a suite, as in harness list suites")
    made.add_argument("--to", type=Path, required=True, metavar="DIR", help="the mirror: data=mirror data.root=DIR")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides (protocol choices)")
    made = add("list", run_list, "what there is to choose from")
    things = ["benchmarks", "tasks", "backends", "suites", "toolchains"]
    made.add_argument("what", nargs="?", choices=things, default="benchmarks")
    return top


def run_eval(options: argparse.Namespace) -> int:
    """``harness eval``."""
    if options.multirun:
        from harness.multirun import multirun

        return multirun(options.overrides)
    return eval_once(options.overrides)


def eval_once(overrides: Sequence[str]) -> int:
    """One configuration: run it and show its table."""
    from harness.config import load
    from harness.run import evaluate

    config = load(overrides)
    folder = evaluate(config)
    _show([folder], config.reference)
    for name in ("table.md", "table.csv", "scores.json", "receipt.json", "samples"):
        print(f"wrote {_short(folder / name)}")
    _write_page([folder], folder / PAGE, config.reference)
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """``harness plan``."""
    from harness.backends import Remote
    from harness.config import load
    from harness.estimate import BYTES_PER_TOKEN, arithmetic, estimate, plan_table
    from harness.prepare import prepare

    prepared = prepare(load(options.overrides))
    rows = estimate(prepared.plan, prepared.backend, prepared.config.run_dir)
    _console().print(plan_table(rows))
    if prepared.backend.tokenizer() is not None and rows:
        print(arithmetic(rows[-1], prepared.config.hardware))
    elif rows:
        print(f"Tokens are guessed, {BYTES_PER_TOKEN:g} bytes each: name the model's tokenizer to have them counted.")
    if isinstance(prepared.backend, Remote):
        form = prepared.config.settings.form
        print(
            f"The server was not asked what it can do: form {form} is assumed (prompt.form); harness eval asks first."
        )
    for name, reason in prepared.plan.skipped.items():
        print(f"{name} does not run: {reason}")
    print(f"plan {prepared.plan.sha256}")
    return 0


def run_score(options: argparse.Namespace) -> int:
    """``harness score``."""
    from harness.run import rescore

    for folder in options.runs:
        rescore(folder)
        print(f"wrote {_short(folder / 'scores.json')}")
        _write_page([folder], folder / PAGE, "Qwen2-72B")
        if options.against_published:
            from harness.replay import agreement, agreement_table

            found = agreement.of_run(folder)
            print(agreement_table.render(found, options.format))
            if options.samples:
                print(agreement_table.samples(found))
    return 0


def run_import(options: argparse.Namespace) -> int:
    """``harness import``."""
    from harness.replay.importing import import_files

    folder = import_files(
        options.files,
        options.run,
        data_root=options.data_root,
        benchmark=options.benchmark,
        model=options.model,
        overrides=options.choices,
    )
    _show([folder], "Qwen2-72B")
    print(f"wrote {_short(folder)}")
    _write_page([folder], folder / PAGE, "Qwen2-72B")
    return 0


def run_table(options: argparse.Namespace) -> int:
    """``harness table``."""
    if options.format is None:
        _show(options.runs, options.reference, verdicts=options.verdict)
        return 0
    from harness.report import load_published, make_table
    from harness.report.render import render
    from harness.report.table import read_run

    runs = [read_run(folder) for folder in options.runs]
    table = make_table(load_published(), runs, options.reference, verdicts=options.verdict)
    sys.stdout.write(render(table, options.format))
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """``harness compare``."""
    from harness.compare import compare
    from harness.report import comparison, grid

    found = compare(
        options.runs, force=options.force, matrix=options.matrix, margin=options.margin, samples=options.samples
    )
    if options.format is not None:
        sys.stdout.write(comparison.render(found, options.format))
        return 0
    console = _console()
    for shown in comparison.grids(found):
        console.print(grid.terminal(shown))
        _lines(console, shown.notes)
    for pair in found.pairs:
        _lines(console, comparison.flip_text(pair))
    return 0


def run_report(options: argparse.Namespace) -> int:
    """``harness report``."""
    if options.size <= 0:
        raise UserError(f"--size = {options.size:g}, which is no size.", "Give megabytes, for example --size 24.")
    path = options.output or (options.runs[0] if len(options.runs) == 1 else Path()) / PAGE
    _write_page(options.runs, path, options.reference, int(options.size * 1_000_000))
    return 0


def run_gate(options: argparse.Namespace) -> int:
    """``harness gate``."""
    from harness.compare import gate
    from harness.report import gate as shown

    general = [text for text in options.margin if "=" not in text]
    margin = gate.parse_pairs("--margin", [f"all={text}" for text in general])
    judged = gate.judge(
        options.run,
        options.baseline,
        floors=gate.parse_pairs("--min", options.min),
        margins=gate.parse_pairs("--margin", [text for text in options.margin if "=" in text]),
        margin=margin.get("all", gate.MARGIN),
        lenient=options.undecided == "pass",
    )
    for path, text in ((options.junit, shown.junit), (options.summary, shown.markdown)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(judged), encoding="utf-8")
    for line in shown.lines(judged):
        print(line)
    return 0 if judged.open else 1


def run_data(options: argparse.Namespace) -> int:
    """``harness data fetch``."""
    from harness.config import load
    from harness.plan.fetch import fetch

    config = load([f"suite={options.suite}", "data=hub", *options.overrides])
    missing = 0
    for done in fetch(config.benchmarks, options.to):
        print(f"{done.benchmark}: {' '.join(done.repos) or 'nothing'}")
        if done.missing is not None:
            missing += 1
            print(f"{done.benchmark} is incomplete: {done.missing.problem} {done.missing.remedy}", file=sys.stderr)
    print(f"data=mirror data.root={_short(options.to)}")
    return 2 if missing else 0


def run_list(options: argparse.Namespace) -> int:
    """``harness list``."""
    from harness.listing import listing

    for line in listing(options.what):
        print(line)
    return 0


def _write_page(folders: Sequence[Path], path: Path, reference: str, size: int | None = None) -> None:
    from harness.report.page import write_page

    write_page(folders, path, reference=reference, **({} if size is None else {"size": size}))
    print(f"wrote {_short(path)} ({path.stat().st_size / 1_000_000:.1f} MB): open it in a browser")


def _show(folders: Sequence[Path], reference: str, *, verdicts: bool = False) -> None:
    from harness.report import load_published, make_table
    from harness.report.render import notes, terminal
    from harness.report.table import read_run

    table = make_table(load_published(), [read_run(folder) for folder in folders], reference, verdicts=verdicts)
    console = _console()
    console.print(terminal(table))
    _lines(console, notes(table))


def _lines(console: Console, lines: Sequence[str]) -> None:
    from harness.report.escape import clean

    for line in lines:
        console.print(clean(line), markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    # a file or a pipe has no width of its own: keep every column readable
    return Console() if sys.stdout.isatty() else Console(width=160)


def _short(path: Path) -> str:
    """Relative to here where it is below."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
