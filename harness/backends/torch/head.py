"""From hidden states to log-probabilities, at the positions that are read and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.backends.torch.trie import Ints

if TYPE_CHECKING:
    import torch

LOGITS = 16 * 1024 * 1024  # logits held at once: 32 MB in bfloat16
CHUNK_ON_CPU = 128  # rows of logits held at once, at most: more leave the processor's caches
ROWS_ON_CPU = 16  # of those, rows turned into float32 at once


def logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The model's logits (n, vocabulary) of hidden states (n, size), with what some models do to them."""
    import torch

    config = model.config.get_text_config()
    out: torch.Tensor = model.get_output_embeddings()(hidden)
    if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
        out = out * scale
    if (divisor := getattr(config, "logits_scaling", None)) is not None:  # Granite
        out = out / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma
        out = torch.tanh(out / cap) * cap
    return out


def chunk_rows(model: Any) -> int:
    """How many rows of logits are held at once."""
    rows = max(1, LOGITS // int(model.config.get_text_config().vocab_size))
    return min(rows, CHUNK_ON_CPU) if model.get_output_embeddings().weight.device.type == "cpu" else rows


def read(
    model: Any, hidden: torch.Tensor, rows: Ints, targets: Ints
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Log-probability of each target after its row of ``hidden`` (tokens, size), and whether it is the likeliest.

    The logits have the model's dtype; the log-softmax is in float32.
    """
    import torch

    logprobs, best = np.empty(len(rows)), np.empty(len(rows), bool)
    places, inverse = np.unique(rows, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    chunk = chunk_rows(model)
    for start in range(0, len(places), chunk):
        stop = min(start + chunk, len(places))
        part = order[slice(*np.searchsorted(inverse[order], [start, stop]))]
        index = torch.from_numpy(places[start:stop]).to(hidden.device)
        scores = logits(model, hidden.index_select(0, index))
        row = torch.from_numpy(inverse[part] - start).to(scores.device)
        target = torch.from_numpy(targets[part]).to(scores.device)
        norm, top = _normalise(scores)
        picked = scores[row, target].float()
        logprobs[part] = (picked - norm[row]).double().cpu().numpy()
        best[part] = _is_first_best(scores, row, target, (picked == top[row]).cpu().numpy())
    return logprobs, best


def _normalise(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row the log of the sum of exponentials, and the largest score, in float32."""
    import torch

    norms, tops = [], []
    for block in torch.split(scores, ROWS_ON_CPU if scores.device.type == "cpu" else len(scores)):
        wide = block.float()
        top = wide.amax(dim=-1)
        norms.append(top + (wide - top[:, None]).exp_().sum(dim=-1).log())
        tops.append(top)
    return torch.cat(norms), torch.cat(tops)


def _is_first_best(
    scores: torch.Tensor, row: torch.Tensor, target: torch.Tensor, largest: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Whether the target is what argmax takes: the largest score, and of equal ones the first."""
    best = largest.copy()
    for i in np.flatnonzero(largest).tolist():
        r, t = int(row[i]), int(target[i])
        best[i] = t == 0 or bool(scores[r, :t].amax() < scores[r, t])
    return best
