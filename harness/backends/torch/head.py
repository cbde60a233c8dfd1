"""From hidden states to log-probabilities, at the positions that are read and nowhere else."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.backends.torch import linear
from harness.backends.torch.trie import Ints
from harness.errors import BackendError

if TYPE_CHECKING:
    import torch

LOGITS = 16 * 1024 * 1024  # whole rows of logits held at once: 32 MB in bfloat16
WHOLE_ROWS_ON_CPU = 128  # at most
LOGITS_ON_CPU = 2 * 1024 * 1024  # held at once where some columns can be computed alone: more leave the caches
ROWS_ON_CPU = 512  # at most
FLOATS_ON_CPU = 512 * 1024  # logits turned into float32 at once


def logits(model: Any, hidden: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
    """The model's logits (n, columns) of hidden states (n, size) for some columns of the vocabulary, with what some
    models do to them."""
    import torch

    config = model.config.get_text_config()
    out = linear.some(model.get_output_embeddings(), hidden, columns)
    if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
        out = out * scale
    if (divisor := getattr(config, "logits_scaling", None)) is not None:  # Granite
        out = out / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma
        out = torch.tanh(out / cap) * cap
    return out


def chunk_rows(model: Any) -> int:
    """How many whole rows of logits are held at once."""
    rows = max(1, LOGITS // int(model.config.get_text_config().vocab_size))
    return min(rows, WHOLE_ROWS_ON_CPU) if _on_cpu(model) else rows


def read(
    model: Any, hidden: torch.Tensor, rows: Ints, targets: Ints
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Log-probability of each target after its row of ``hidden`` (tokens, size), and whether it is what argmax takes:
    the likeliest, and of equally likely ones the first.

    The logits have the model's dtype; the log-softmax is in float32.

    Raises:
        BackendError: a target is not in the vocabulary.
    """
    import torch

    logprobs, best = np.empty(len(rows)), np.empty(len(rows), bool)
    places, inverse = np.unique(rows, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    chunk = ROWS_ON_CPU if _by_columns(model) else chunk_rows(model)
    for start in range(0, len(places), chunk):
        stop = min(start + chunk, len(places))
        part = order[slice(*np.searchsorted(inverse[order], [start, stop]))]
        index = torch.from_numpy(places[start:stop]).to(hidden.device)
        logprobs[part], best[part] = _read(model, hidden.index_select(0, index), inverse[part] - start, targets[part])
    return logprobs, best


def _read(
    model: Any, hidden: torch.Tensor, rows: Ints, targets: Ints
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The same for hidden states (n, size) all of which are read, some columns of the vocabulary at a time."""
    import torch

    picked, first, own = np.empty(len(rows), np.float32), np.zeros(len(rows), bool), np.full(len(rows), -1)
    norms: list[torch.Tensor] = []
    tops: list[torch.Tensor] = []
    for number, columns in enumerate(_columns(model, len(hidden))):
        scores = logits(model, hidden, columns)
        norm, top = _normalise(scores)
        norms.append(norm)
        tops.append(top)
        begin = columns.start or 0
        here = np.flatnonzero((begin <= targets) & (targets < begin + scores.shape[1]))
        own[here] = number
        row = torch.from_numpy(rows[here]).to(scores.device)
        target = torch.from_numpy(targets[here] - begin).to(scores.device)
        value = scores[row, target].float()
        picked[here] = value.cpu().numpy()
        best = here[(value == top[row]).cpu().numpy()]
        hit, back = np.unique(rows[best], return_inverse=True)
        found = scores.index_select(0, torch.from_numpy(hit).to(scores.device)).max(dim=-1).indices.cpu().numpy()
        first[best] = found[back] + begin == targets[best]
    if (own < 0).any():
        raise BackendError(
            f"the model has no token {targets[own < 0][0]}; its vocabulary is smaller than its tokenizer's"
        )
    total = torch.stack(norms).logsumexp(dim=0).cpu().numpy().astype(np.float64)
    highest = torch.stack(tops).max(dim=0).indices.cpu().numpy()
    return picked - total[rows], first & (highest[rows] == own)


def _columns(model: Any, rows: int) -> list[slice]:
    """The vocabulary in equal parts, so that not too many logits of so many rows are held at once."""
    if not _by_columns(model):
        return [slice(None)]
    vocabulary = model.get_output_embeddings().out_features
    parts = min(-(-rows * vocabulary // LOGITS_ON_CPU), vocabulary)
    return [slice(a, b) for a, b in pairwise(vocabulary * i // parts for i in range(parts + 1))]


def _by_columns(model: Any) -> bool:
    return _on_cpu(model) and linear.is_plain(model.get_output_embeddings())


def _on_cpu(model: Any) -> bool:
    return bool(model.get_output_embeddings().weight.device.type == "cpu")


def _normalise(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row the log of the sum of exponentials, and the largest score, in float32."""
    import torch

    norms, tops = [], []
    rows = max(1, FLOATS_ON_CPU // scores.shape[1]) if scores.device.type == "cpu" else len(scores)
    held = scores.new_empty((min(rows, len(scores)), scores.shape[1]), dtype=torch.float32)
    for block in torch.split(scores, rows):
        wide = held[: len(block)].copy_(block)
        top = wide.amax(dim=-1)
        # the softmax of the largest score tells the sum; on a CPU it takes half as long as exponentials and a sum
        share = torch.softmax(wide, dim=-1, out=wide).amax(dim=-1)
        # where all of these columns are ruled out, others still count
        norms.append(torch.where(top == -torch.inf, top, top - share.log()))
        tops.append(top)
    return torch.cat(norms), torch.cat(tops)
