"""Whether a model can be scored in packs, and how: by its shape, then by trying on a few tokens."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.backends.base import Scored
from harness.backends.torch import generation, plain, plain_generation, scoring
from harness.backends.torch.answers import Answer, Texts
from harness.errors import BackendError
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
WINDOW = 4  # tokens of a sliding window that is tried out
# what a model of an unforeseen shape may raise, torch's compiler included
FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)


@dataclass(frozen=True)
class Way:
    """How prompts are computed."""

    name: str | None
    """One of ``attention.WAYS``; None for plain batches."""
    reason: str
    """Why not a better one; empty if there is none."""
    padded: bool = True
    """Whether texts may be padded to plain batches; if not, they are computed one by one."""
    cached: bool = True
    """Whether plain generation may use a cache; if not, each token's whole text is computed again."""

    def __str__(self) -> str:
        plainly = "plain batches" if self.padded else "one by one"
        return self.name or plainly + ("" if self.cached else ", without a cache")


def choose(model: Any) -> Way:
    """The best way that gives this model's own results."""
    expected = _plain(model, 1)
    if (reason := obstacle(model)) is not None:
        return _plainly(model, reason, expected)
    with _short_windows(model) as windows:
        seen = _plain(model, 1) if windows else []
    reason = ""
    for name in ways(model.get_input_embeddings().weight.device.type, _dtype(model)):
        problem = _problem(model, name, expected)
        if problem is None and windows:
            with _short_windows(model):
                problem = _problem(model, name, seen)
        if problem is None:
            return Way(name, reason)
        log.info("packed attention by %s does not work: %s", name, problem)
        reason = f"{name}: {problem}"
    return _plainly(model, reason, expected)


def _plainly(model: Any, reason: str, expected: list[Scored]) -> Way:
    """Plain batches, or less of them where a model reads padding or has a cache of its own."""
    sample = _sample(model.config.get_text_config().vocab_size)
    run = partial(plain_generation.generate, model, batch_tokens=64, kv_tokens=10_000, spent=scoring.Spent())
    got = [v for answer in _plain(model, 64) for v in answer.logprobs]
    for padded, cached in ((True, True), (False, True), (False, False)):
        if padded and _difference(model, expected, got) is not None:
            continue
        try:
            said = _said(sample, partial(run, slots=2 if padded else 1, cached=cached))
        except FAILURES:
            log.debug("plain generation failed: padded %s, cached %s", padded, cached, exc_info=True)
            continue
        if _difference(model, expected, said) is None:
            return Way(None, reason, padded, cached)
    raise BackendError(f"{type(model).__name__} gives a text other numbers when it is computed token by token")


@contextlib.contextmanager
def _short_windows(model: Any) -> Iterator[bool]:
    """Whether the model has sliding windows; they are a few tokens for a while, so that short texts meet them."""
    config = model.config.get_text_config()
    own = getattr(config, "sliding_window", None)
    holders = [h for h in (config, *model.modules()) if own and getattr(h, "sliding_window", None) == own]
    try:
        for holder in holders:
            holder.sliding_window = WINDOW
        yield bool(holders)
    finally:
        for holder in holders:
            holder.sliding_window = own


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


def _plain(model: Any, batch_tokens: int) -> list[Scored]:
    sample = _sample(model.config.get_text_config().vocab_size)
    answers = plain.score(model, sample, limit=64, batch_tokens=batch_tokens, pad=0, spent=scoring.Spent())
    return [answer for _, answer in sorted(pair for batch in answers for pair in batch)]


def _problem(model: Any, way: str, expected: list[Scored]) -> str | None:
    """Why packs do not give the expected answers, if they do not."""
    sample = _sample(model.config.get_text_config().vocab_size)
    # packs shorter than the shared stem, so that the path is used
    rest: dict[str, Any] = {"batch_tokens": 7, "way": way, "spent": scoring.Spent()}
    try:
        answers = scoring.score(model, sample, limit=64, kv_tokens=1000, **rest)
        scored = [answer for _, answer in sorted(pair for batch in answers for pair in batch)]
        said = _said(sample, partial(generation.generate, model, slots=2, kv_tokens=10_000, worth=1, **rest))
    except FAILURES as error:
        log.debug("packed attention by %s failed", way, exc_info=True)
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    for what, got in (("log-likelihoods", [v for a in scored for v in a.logprobs]), ("generated texts'", said)):
        if (worst := _difference(model, expected, got)) is not None:
            return f"{what} of a few tokens differ by {worst:.2g}"
    return None


def _difference(model: Any, expected: list[Scored], got: Iterable[float]) -> float | None:
    """The largest difference of log-likelihoods, if that is more than rounding."""
    wanted = [value for answer in expected for value in answer.logprobs]
    worst = max(abs(a - b) for a, b in zip(wanted, got, strict=True))
    # what is not a number is not within the tolerance either
    return None if worst <= TOLERANCE.get(_dtype(model), HALF_TOLERANCE) else worst


def _said(sample: list[Encoded], run: Callable[..., Iterable[object]]) -> list[float]:
    """Log-likelihoods of the continuations when a way to generate is made to say them."""
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

    for _ in run(answers=answers, choose=choose):
        pass
    return sums
