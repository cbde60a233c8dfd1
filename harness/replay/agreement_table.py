"""Agreement for people: as plain text, or as Markdown for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.replay.agreement import Agreement, Agreements

COLUMNS = (
    "benchmark",
    "n",
    "ours",
    "published",
    "agree",
    "of",
    "%",
    "both right",
    "ours only",
    "theirs only",
    "both wrong",
)
SHOWN = 60  # signs of an answer in the list of samples


def render(found: Sequence[Agreements], form: str = "text") -> str:
    """The table, and the notes below it."""
    lines: list[tuple[str, ...]] = [COLUMNS]
    for each in found:
        lines.append(_cells(each.whole, ""))
        lines += [_cells(part, "- ") for part in each.parts]
    table = _markdown(lines) if form == "md" else _text(lines)
    notes = [note for each in found for note in _notes(each)]
    return "\n".join([*table, *(["", *notes] if notes else [])])


def _cells(row: Agreement, indent: str) -> tuple[str, ...]:
    share = row.share
    counts = (row.both, row.ours_only, row.theirs_only, row.neither)
    return (
        indent + row.name,
        f"{row.n:,}",
        f"{row.ours:.2f}",
        "–" if row.theirs is None else f"{row.theirs:.2f}",
        *((f"{row.agree:,}", f"{row.compared:,}", f"{100 * share:.2f}") if share is not None else ("–", "0", "–")),
        *(("–",) * 4 if share is None else (f"{count:,}" for count in counts)),
    )


def _notes(each: Agreements) -> list[str]:
    name = each.whole.name
    notes = [f"{name}: judged with {each.rule}"] if each.rule else []
    if each.answers is not None:
        same, of = each.answers
        notes.append(f"{name}: the same answer was extracted in {same:,} of {of:,} ({100 * same / of:.2f} %)")
    if each.comparison is not None:
        same, of = each.comparison
        notes.append(
            f"{name}: their answers, compared here: {same:,} of {of:,} verdicts agree ({100 * same / of:.2f} %)"
        )
    if each.others:
        notes.append(f"{name}: also {', '.join(f'{metric} {value:.2f}' for metric, value in each.others.items())}")
    if each.whole.flagged and each.whole.compared:
        notes.append(f"{name}: {each.whole.flagged} published verdicts are in doubt and not compared")
    notes += [
        f"{name}, {part.name}: {part.flagged_right} of the {part.flagged} programs in doubt pass here; "
        f"{part.ours_at_least:.2f} without them"
        for part in each.parts
        if part.flagged_right and not part.compared
    ]
    return notes


def samples(found: Sequence[Agreements]) -> str:
    """One line for each sample whose verdicts differ."""
    lines = []
    for each in found:
        for row in each.differ.to_dict("records"):
            rule = row["rule"] if isinstance(row["rule"], str) else "no rule"
            ours = f"here {_right(row['score'])} {_short(row['extracted'])} ({rule})"
            theirs = f"published {_right(row['verdict'])} {_short(row['extracted_published'])}"
            flag = f"; in doubt: {row['flag']}" if row["flag"] else ""
            target = _short(row["target"])
            lines.append(f"{each.whole.name} {row['part']} {row['doc_id']}: target {target}; {ours}; {theirs}{flag}")
    return "\n".join(lines) if lines else "No verdict differs."


def _right(value: float) -> str:
    return "right" if value >= 0.5 else "wrong"


def _short(text: str | None) -> str:
    if text is None:
        return "no answer"
    plain = " ".join(str(text).split())
    return repr(plain if len(plain) <= SHOWN else plain[:SHOWN] + "…")


def _text(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    first, *rest = widths
    return [
        "  ".join([line[0].ljust(first), *(cell.rjust(w) for cell, w in zip(line[1:], rest, strict=True))])
        for line in lines
    ]


def _markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return [rows[0], "|---|" + "---:|" * (len(COLUMNS) - 1), *rows[1:]]
