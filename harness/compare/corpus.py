"""Metrics of whole sets, recomputed from the samples: BLEU from what it counts in each sentence."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from harness.compare.rows import RowData
from harness.compare.runs import Run
from harness.errors import UserError
from harness.score import paired
from harness.score.extract import UNPARSED

ORDERS = 4
PLAIN = "13a"  # sacrebleu's default tokenizer


def compare_whole(
    first: Run, second: Run, row: str, data: RowData, both: NDArray[np.bool_], design: paired.Design
) -> tuple[float, float, paired.Test]:
    """Both values and the paired bootstrap of a row whose docs have no scores of their own.

    Raises:
        UserError: the row's metric is none that can be recomputed from samples.
    """
    metric = first.rows[row]["metric"]
    if metric != "bleu":
        raise UserError(
            f"{row}: its metric {metric} is of the whole set, and cannot be recomputed from samples.",
            "Leave the row out, or give it a metric that each doc has.",
        )
    counts = [
        np.concatenate(
            [sentence_counts(run, task, tuple(data.ids[data.task == i])) for i, task in enumerate(data.tasks)]
        )
        for run in (first, second)
    ]
    x, y = (own[both] for own in counts)
    values = [
        float(sum(w * bleu(own[design.task == t].sum(axis=0)) for t, w in enumerate(design.weights))) for own in (x, y)
    ]
    return values[0], values[1], paired.compare_sums(x, y, design, bleu)


@functools.lru_cache(maxsize=256)
def _counts(run: Run, task: str) -> dict[str, tuple[float, ...]]:
    from sacrebleu.metrics.bleu import BLEU

    entry = run.receipt.get("benchmarks", {}).get(run.scores["tasks"][task]["benchmark"], {})
    tokenizer = (entry.get("tasks") or {}).get(task, {}).get("tokenizer") or PLAIN
    scorer = BLEU(tokenize=tokenizer)
    table = run.samples(task, ["doc_id", "target", "extracted"])
    found = {}
    for doc, target, text in zip(*(table[c].to_pylist() for c in ("doc_id", "target", "extracted")), strict=True):
        said = "" if text is None or text == UNPARSED else text
        score = scorer.corpus_score([said], [[target.strip()]])
        found[doc] = (float(score.sys_len), float(score.ref_len), *map(float, score.counts), *map(float, score.totals))
    return found


def sentence_counts(run: Run, task: str, docs: tuple[str, ...]) -> NDArray[np.float64]:
    """One row a doc: both lengths, then matches and n-grams of each order, as sacrebleu counts them.

    A doc that the run does not have is a row of zeros.
    """
    if task not in run.scores["tasks"]:
        return np.zeros((len(docs), 2 + 2 * ORDERS))
    found = _counts(run, task)
    nothing = (0.0,) * (2 + 2 * ORDERS)
    return np.array([found.get(doc, nothing) for doc in docs])


def bleu(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """BLEU in points (Papineni et al. 2002) of summed counts, along the last axis, smoothed as sacrebleu does.

    The k-th order without a match counts 1 / 2^k matches, k from the first such order on.
    """
    said, wanted = sums[..., 0], sums[..., 1]
    matches, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    missed = (matches == 0) & (total > 0)
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed) - np.log(total)
        brevity = np.minimum(0.0, 1 - wanted / said)
        value = 100 * np.exp(brevity + logs.mean(axis=-1))
    whole = (total > 0).all(axis=-1) & (matches[..., 0] > 0)
    return np.where(whole, value, 0.0)
