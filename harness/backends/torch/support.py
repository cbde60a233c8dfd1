"""Whether a model can be scored in packs, and how: by its shape, then by trying on a few tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.backends.base import Scored
from harness.backends.torch import generation, plain, scoring
from harness.backends.torch.answers import Answer, Texts
from harness.plan.request import Generate
from harness.plan.tokens import Encoded

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

KNOWN_LAYERS = {"full_attention", "sliding_attention"}
# rotary embeddings that depend on the longest sequence of the batch, and so on what else is in it
MOVING_ROPES = {"dynamic", "longrope"}
TOLERANCE = {"float32": 1e-3}  # of log-likelihoods of three tokens; half precision gets half a nat
HALF_TOLERANCE = 0.5


@dataclass(frozen=True)
class Way:
    """How prompts are computed."""

    name: str | None
    """One of ``attention.WAYS``; None for plain padded batches."""
    reason: str
    """Why not a better one; empty if there is none."""


def choose(model: Any) -> Way:
    """The best way that gives this model's own results."""
    if (reason := obstacle(model)) is not None:
        return Way(None, reason)
    reason = ""
    expected = _plain(model)
    for name in ways(model.get_input_embeddings().weight.device.type, _dtype(model)):
        problem = _problem(model, name, expected)
        if problem is None:
            return Way(name, reason)
        log.info("packed attention by %s does not work: %s", name, problem)
        reason = f"{name}: {problem}"
    return Way(None, reason)


def ways(device: str, dtype: str) -> tuple[str, ...]:
    """What to try on a kind of device in a dtype, the best first."""
    if device == "cpu" and dtype == "bfloat16" and _products_beat_flash():
        return ("strips", "tiles", "mask")
    return {"cpu": ("tiles", "mask"), "cuda": ("flex", "mask")}.get(device, ("mask",))


def _products_beat_flash() -> bool:
    """Whether plain products of bfloat16 use the processor's instructions, and torch's flash attention does not."""
    import torch

    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16")) and not able.get("amx_bf16")


def _dtype(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")


def obstacle(model: Any) -> str | None:
    """What in a model's shape rules packs out, if anything does."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return f"the attention of {type(model).__name__} cannot be exchanged"
    if other := sorted(set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS):
        return f"it has layers of the kind {other[0]}"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention scores are soft-capped"
    if getattr(config, "num_kv_shared_layers", None) or getattr(config, "kv_lora_rank", None):
        return "its layers share or compress keys and values"
    if moving := sorted(_rope_types(config) & MOVING_ROPES):
        return f"its {moving[0]} rotary embedding depends on the longest sequence of a batch"
    return None


def _rope_types(config: Any) -> set[str]:
    parameters = getattr(config, "rope_parameters", None) or {}
    each = parameters.values() if all(isinstance(v, dict) for v in parameters.values()) else [parameters]
    return {str(p.get("rope_type", "default")) for p in each}


def _sample(vocabulary: int) -> list[Encoded]:
    """Three requests that share beginnings of different length."""

    def ids(seed: int, n: int) -> list[int]:
        return [(seed * 7919 + i * 104729) % vocabulary for i in range(n)]

    stem = ids(1, 9)
    return [
        Encoded(stem + ids(2, 5), [ids(3, 3), ids(4, 3)]),
        Encoded(stem + ids(2, 3) + ids(5, 4), [ids(6, 3)]),
        Encoded(ids(7, 6), [ids(8, 3), ids(3, 3)]),
    ]


def _plain(model: Any) -> list[Scored]:
    sample = _sample(model.config.get_text_config().vocab_size)
    answers = plain.score(model, sample, limit=64, batch_tokens=64, pad=0, spent=scoring.Spent())
    return [answer for _, answer in sorted(pair for batch in answers for pair in batch)]


def _problem(model: Any, way: str, expected: list[Scored]) -> str | None:
    """Why packs do not give the expected answers, if they do not."""
    import torch

    sample = _sample(model.config.get_text_config().vocab_size)
    try:
        # packs shorter than the shared stem, so that the path is used
        answers = scoring.score(model, sample, limit=64, batch_tokens=7, kv_tokens=1000, way=way, spent=scoring.Spent())
        scored = [answer for _, answer in sorted(pair for batch in answers for pair in batch)]
        said = _said(model, way, sample)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, torch._dynamo.exc.TorchDynamoException) as error:
        log.debug("packed attention by %s failed", way, exc_info=True)
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    dtype = _dtype(model)
    wanted = [value for answer in expected for value in answer.logprobs]
    for what, got in (("log-likelihoods", [v for a in scored for v in a.logprobs]), ("generated texts'", said)):
        worst = max(abs(a - b) for a, b in zip(wanted, got, strict=True))
        if not worst <= TOLERANCE.get(dtype, HALF_TOLERANCE):
            return f"{what} of a few tokens differ by {worst:.2g}"
    return None


def _said(model: Any, way: str, sample: list[Encoded]) -> list[float]:
    """Log-likelihoods of the continuations when generation is made to say them, two texts at a time."""
    import torch

    texts = Texts(lambda ids: "", {}, frozenset())
    forced = [(request.context, continuation) for request in sample for continuation in request.continuations]
    answers = [Answer(i, Generate("", "", (), len(c)), context, texts) for i, (context, c) in enumerate(forced)]
    sums = [0.0] * len(forced)

    def choose(growing: Sequence[Answer], logits: torch.Tensor) -> list[int]:
        tokens = [forced[answer.index][1][len(answer.new)] for answer in growing]
        logprobs = torch.log_softmax(logits.float(), dim=-1).expand(len(growing), -1)
        for answer, token, row in zip(growing, tokens, logprobs, strict=True):
            sums[answer.index] += float(row[token])
        return tokens

    flow = generation.generate(
        model,
        answers,
        batch_tokens=7,
        slots=2,
        kv_tokens=10_000,
        way=way,
        spent=scoring.Spent(),
        choose=choose,
        worth=1,
    )
    for _ in flow:
        pass
    return sums
