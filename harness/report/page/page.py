"""The page: everything that the templates need, put together."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.compare.compare import compare
from harness.compare.runs import Run, as_scores, tasks_of
from harness.errors import UserError
from harness.report import comparison, escape
from harness.report.grid import Grid
from harness.report.page import charts, facts
from harness.report.page.opened import open_all
from harness.report.page.pack import pack
from harness.report.page.samples import Flag, Verdict, read_samples
from harness.report.published import load_published
from harness.report.table import make_table

if TYPE_CHECKING:
    from jinja2 import Environment

SIZE = 24_000_000  # bytes of the whole file
SIGN = re.compile(r"(?<!\w)-(?=\d)")  # of a number: the cells it is used for hold figures and verdicts
SCRIPTS = ("store", "text", "filter", "list", "detail", "main")
STYLES = ("page", "samples", "print")


def write_page(folders: Sequence[Path], path: Path, *, reference: str = "Qwen2-72B", size: int = SIZE) -> None:
    """Write the page of these runs at once, so that no reader meets half of it.

    Raises:
        UserError: a folder is no run, no published column has the reference's name, or the file cannot be written.
    """
    text = make_page(folders, reference=reference, size=size)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}).", "Choose another file: --output FILE."
        ) from error


def make_page(folders: Sequence[Path], *, reference: str = "Qwen2-72B", size: int = SIZE) -> str:
    """One HTML document that needs nothing beside it.

    Args:
        folders: run folders; differences are taken to the first.
        reference: the published column that differences are taken to.
        size: about how many bytes it may have; the middle of long texts is left out where they do not fit.

    Raises:
        UserError: a folder is no run, or no published column has the reference's name.
    """
    runs = open_all(folders)
    table = make_table(load_published(), [as_scores(run) for run in runs], reference)
    samples, notes = read_samples(runs)
    compared, refused = _comparison(runs)
    script, style = _joined("script", SCRIPTS, "js"), _joined("style", STYLES, "css")
    known: dict[str, Any] = {
        "runs": runs,
        "title": _title(runs),
        "short": facts.short_names([run.name for run in runs]),
        "table": table,
        "charts": [chart for chart in (charts.benchmark_chart(table), charts.group_chart(table)) if chart is not None],
        "breakdowns": facts.breakdowns(runs),
        "lost": facts.lost(runs),
        "costs": [facts.cost(run) for run in runs],
        "receipts": [facts.receipt(run) for run in runs],
        "compared": compared,
        "refused": refused,
        "notes": notes,
        "shapes": [charts.shape(i) for i in range(len(runs))],
        "version": __version__,
        "script": script,
        "style": style,
        "script_hash": _hash(script),
        "style_hash": _hash(style),
    }
    template = _environment().get_template("page.html")
    frame = template.render(known, packed=None, samples=samples)
    packed = pack(samples, _meta(runs, samples), size - len(frame.encode()))
    return template.render(known, packed=packed, samples=samples)


def _title(runs: Sequence[Run]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs: {', '.join(run.name for run in runs)}"


def _comparison(runs: Sequence[Run]) -> tuple[list[Grid], str]:
    """The runs against the first of them; or why there is none."""
    if len(runs) < 2:
        return [], ""
    scored = [run for run in runs if run.rows]
    if len(scored) < 2:
        return [], "Fewer than two of these runs have scores."
    try:
        return comparison.grids(compare([run.folder for run in scored], force=True)), ""
    except UserError as error:
        return [], error.problem


def _meta(runs: Sequence[Run], samples: Sequence[Any]) -> dict[str, Any]:
    """What the sample browser must know of runs, rows and tasks."""
    places = {task.task: i for i, task in enumerate(samples)}
    rows: dict[str, dict[str, int]] = {}
    for run in runs:
        for row, entry in run.rows.items():
            found = rows.setdefault(escape.clean(str(entry["title"])), {})
            found |= {task: places[task] for task in tasks_of(run, row) if task in places}
    return {
        "runs": [escape.clean(run.name) for run in runs],
        "rows": [{"title": title, "tasks": sorted(tasks.values())} for title, tasks in rows.items() if tasks],
        "tasks": list(places),
        "verdicts": {verdict.name.lower(): int(verdict) for verdict in Verdict},
        "flags": {str(flag.name).lower(): int(flag) for flag in Flag},
    }


def _joined(folder: str, names: Sequence[str], ending: str) -> str:
    root = files("harness.report.page")
    return "\n".join(root.joinpath(folder, f"{name}.{ending}").read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("harness.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    made.filters["points"] = lambda value: f"{value:.1f}"
    made.filters["signed"] = lambda value: f"{value:+.1f}".replace("-", "−")
    made.filters["minus"] = lambda text: SIGN.sub("−", text)
    made.filters["count"] = lambda value: f"{value:,}"
    made.filters["duration"] = duration
    made.filters["lines"] = lines
    return made


def _clean(value: Any) -> Any:
    """Whatever a template shows: without control characters and marks that turn text around."""
    from markupsafe import Markup

    if isinstance(value, str) and not isinstance(value, Markup):
        return escape.clean(value, len(value))
    return value


def lines(text: str) -> Any:
    """A text of several lines, each made harmless."""
    from markupsafe import Markup
    from markupsafe import escape as as_text

    return Markup("\n").join(as_text(escape.clean(line)) for line in text.split("\n"))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
