"""Metrics of a whole corpus that need no more of a sentence than a few counts, such as BLEU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import MissingError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

Counts = tuple[int, ...]
ORDERS = 4  # BLEU counts n-grams of one to four tokens
SMOOTHING = "exp"  # sacrebleu's default
# sacrebleu's tokenizers that need more than sacrebleu, and the project's extra that brings it
EXTRAS = {"ja-mecab": "mecab", "ko-mecab": "mecab", "flores101": "spm"}


@dataclass(frozen=True)
class OfSums:
    """An aggregation, as lm-eval calls it, that is a function of the sums of its items' counts.

    Drawing sentences anew is adding up other rows, so that a bootstrap never looks at a text again.
    """

    of_sums: Callable[[NDArray[np.float64]], float]
    """From summed counts to the value."""

    def __call__(self, items: Sequence[Counts]) -> float:
        """The value of a corpus of sentences."""
        return self.of_sums(np.asarray(items, dtype=float).sum(axis=0))


def _bleu(sums: NDArray[np.float64]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    lengths, correct, total = sums[:2], sums[2 : 2 + ORDERS], sums[2 + ORDERS :]
    scored = BLEU.compute_bleu(
        [int(x) for x in correct],
        [int(x) for x in total],
        int(lengths[0]),
        int(lengths[1]),
        smooth_method=SMOOTHING,
        max_ngram_order=ORDERS,
    )
    return float(scored.score)


corpus_bleu = OfSums(_bleu)
"""BLEU in points of what :func:`bleu_counts` counted; the same figure as sacrebleu's for the whole texts."""


def bleu_counts(hypothesis: str, reference: str, tokenizer: str) -> Counts:
    """Lengths of both, then matches and n-grams of each order, as sacrebleu counts them."""
    found = _scorer(tokenizer).corpus_score([hypothesis], [[reference]])
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)


def bleu_signature(tokenizer: str) -> str:
    """sacrebleu's own words for how it counts.

    Raises:
        MissingError: the tokenizer needs a package or a model that is not here.
    """
    scorer = _scorer(tokenizer)
    # a signature names the number of references, which sacrebleu learns from the first text
    scorer.corpus_score([""], [[""]])
    return str(scorer.get_signature())


@functools.cache
def _scorer(tokenizer: str) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    if tokenizer == "flores101":
        _require_model()
    try:
        return BLEU(tokenize=tokenizer, smooth_method=SMOOTHING, max_ngram_order=ORDERS)
    except (ImportError, RuntimeError) as error:
        extra = EXTRAS.get(tokenizer)
        raise MissingError(
            f"sacrebleu's tokenizer {tokenizer} needs packages that are not installed.",
            f"Run: pip install 'harness[{extra}]'   or choose another tokenizer.",
        ) from error


def _require_model() -> None:
    """sacrebleu would download the model while scoring; what is missing is named before anything is asked instead."""
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    model = Path(SACREBLEU_DIR) / "models" / Path(SPM_MODELS["flores101"]["url"]).name
    if not model.is_file():
        raise MissingError(
            f"sacrebleu's tokenizer flores101 needs the model {model.name}, which is not in {model.parent}.",
            "Run: pip install 'harness[spm]', then once, with a network: "
            "python -c 'import sacrebleu; sacrebleu.BLEU(tokenize=\"flores101\")'   or choose another tokenizer.",
        )
