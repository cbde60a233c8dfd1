from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backends.base import Scored
from harness.backends.torch import TorchBackend, TorchOptions, attention, packing, plain, scoring, support
from harness.backends.torch.reads import windows
from harness.errors import UserError
from harness.plan.request import Score
from harness.plan.tokens import Encoded, distinct_tokens

from .conftest import VOCABULARY, make_model

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=9)
REQUESTS = st.lists(
    st.builds(Encoded, IDS, st.lists(IDS, min_size=1, max_size=3)),
    min_size=1,
    max_size=6,
)


def one_by_one(model: Any, encoded: Sequence[Encoded], limit: int = 256) -> list[Scored]:
    """Each continuation by a forward pass of its own."""
    answers = []
    for request in encoded:
        sums, greedy = [], []
        for continuation in request.continuations:
            total, best = 0.0, True
            for window in windows(request.context, continuation, limit):
                with torch.inference_mode():
                    logits = model(torch.tensor([window.tokens])).logits[0, -len(window.targets) :]
                logprobs = torch.log_softmax(logits.float(), -1)
                total += sum(logprobs[i, t].item() for i, t in enumerate(window.targets))
                best = best and logits.argmax(-1).tolist() == window.targets
            sums.append(total)
            greedy.append(best)
        size = len(request.context) + sum(map(len, request.continuations))
        answers.append(Scored(tuple(sums), tuple(greedy), size))
    return answers


def packed(model: Any, encoded: Sequence[Encoded], **options: Any) -> tuple[list[Scored], scoring.Spent]:
    spent = scoring.Spent()
    options = {"limit": 256, "batch_tokens": 64, "kv_tokens": 100_000, "way": "tiles", **options}
    pairs = [p for batch in scoring.score(model, encoded, spent=spent, **options) for p in batch]
    assert sorted(index for index, _ in pairs) == list(range(len(encoded)))
    return [answer for _, answer in sorted(pairs, key=lambda p: p[0])], spent


def assert_equal(got: Sequence[Scored], expected: Sequence[Scored], encoded: Sequence[Encoded]) -> None:
    for a, b, request in zip(got, expected, encoded, strict=True):
        for x, y, continuation in zip(a.logprobs, b.logprobs, request.continuations, strict=True):
            assert abs(x - y) <= 1e-4 * len(continuation)
        assert a.greedy == b.greedy
        assert a.prompt_tokens == b.prompt_tokens


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    encoded=REQUESTS,
    size=st.integers(1, 40),
    strip=st.integers(1, 40),
    worth=st.integers(1, 5),
    way=st.sampled_from(("tiles", "strips", "mask")),
    order=st.randoms(),
)
def test_packs_equal_scoring_one_by_one(
    tiny: Any, encoded: list[Encoded], size: int, strip: int, worth: int, way: str, order: Any
) -> None:
    order.shuffle(encoded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "strips", partial(packing.strips, size=strip))
        patch.setattr(packing, "WORTH", worth)
        got, spent = packed(tiny, encoded, batch_tokens=size, way=way)
    assert_equal(got, one_by_one(tiny, encoded), encoded)
    inputs = [Encoded(e.context + c[:-1], []) for e in encoded for c in e.continuations]
    assert spent.computed_tokens == distinct_tokens(inputs)
    assert spent.passes == -(-spent.computed_tokens // size)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(encoded=REQUESTS, spare=st.integers(1, 20))
def test_keys_and_values_stay_within_what_is_allowed(tiny: Any, encoded: list[Encoded], spare: int) -> None:
    """One path and one pass are kept, however small what is left for the pass."""
    limit = max(len(e.context) + len(c) - 1 for e in encoded for c in e.continuations) + spare
    held = []
    real = scoring.forward

    def forward(model: Any, pack: Any, path: Any, *args: Any) -> Any:
        held.append(pack.path + len(pack))
        return real(model, pack, path, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "forward", forward)
        got, _ = packed(tiny, encoded, kv_tokens=limit)
    assert_equal(got, one_by_one(tiny, encoded), encoded)
    assert max(held) <= limit


def test_a_prompt_that_cannot_fit_is_named_before_it_is_begun(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"backend\.kv_memory .* 150 tokens"):
        packed(tiny, long_requests(), kv_tokens=150)


def long_requests(seed: int = 3) -> list[Encoded]:
    """A shared prefix of 150 tokens, questions of 30, two to four choices: more than a block, less than the model."""
    draw = torch.Generator().manual_seed(seed)

    def ids(n: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (n,), generator=draw).tolist()

    prefix = ids(150)
    return [Encoded(prefix + ids(30), [ids(2 + n) for n in range(2 + i % 3)]) for i in range(9)] + [
        Encoded(ids(200), [ids(1), ids(1)])
    ]


@pytest.mark.parametrize("way", attention.WAYS)
@pytest.mark.parametrize("size", [33, 300, 1000])
def test_long_prompts(tiny: Any, way: str, size: int) -> None:
    encoded = long_requests()
    got, _ = packed(tiny, encoded, batch_tokens=size, way=way)
    assert_equal(got, one_by_one(tiny, encoded), encoded)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Mistral", {"sliding_window": 11}),
        ("Gemma2", {"head_dim": 16, "sliding_window": 20, "attn_logit_softcapping": None}),
        ("Granite", {"logits_scaling": 3.0}),
        ("Qwen3", {"head_dim": 8}),
        ("Phi3", {}),
    ],
)
@pytest.mark.parametrize("way", attention.WAYS)
def test_other_decoders(kind: str, changes: dict[str, Any], way: str) -> None:
    model = make_model(kind, **changes)
    assert support.choose(model) == support.Way("tiles", "")
    encoded = long_requests()[:3]
    got, _ = packed(model, encoded, batch_tokens=100, way=way)
    assert_equal(got, one_by_one(model, encoded), encoded)


@pytest.mark.parametrize(
    ("able", "best"),
    [
        ({"avx512_bf16": True}, "strips"),
        ({"avx512_bf16": True, "amx_bf16": True}, "tiles"),
        ({"avx2": True}, "tiles"),
    ],
)
def test_strips_are_for_processors_whose_instructions_flash_attention_leaves_unused(
    able: dict[str, bool], best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert support.choose(make_model("Llama").bfloat16()) == support.Way(best, "")
    assert support.choose(make_model("Llama")) == support.Way("tiles", "")


@pytest.mark.parametrize(
    ("able", "said"),
    [({"avx512_bf16": True}, {"attention": "strips"}), ({}, {"attention": "tiles"})],
)
def test_the_receipt_says_how_attention_was_computed(
    tiny_checkpoint: Path, able: dict[str, bool], said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    backend = TorchBackend(TorchOptions(model=str(tiny_checkpoint), dtype="bfloat16", device="cpu"))
    assert backend.took() == {}
    list(backend.answer([Score("Question: Which", " organ?\nAnswer:", (" A", " B"))]))
    took = backend.took()
    assert took["computed_tokens"] > 0
    assert {key: value for key, value in took.items() if key.startswith("attention")} == said


def test_strips_in_bfloat16_are_about_as_near_to_float32_as_tiles() -> None:
    model, encoded = make_model("Llama"), long_requests()
    exact = [v for answer in packed(model, encoded)[0] for v in answer.logprobs]
    model.bfloat16()
    errors = {}  # scores of this random model are far larger than a trained one's: 1.25 times was found
    for way in ("tiles", "strips"):
        found = [v for answer in packed(model, encoded, way=way)[0] for v in answer.logprobs]
        errors[way] = sum((a - b) ** 2 for a, b in zip(found, exact, strict=True)) ** 0.5
    assert errors["strips"] <= 1.5 * errors["tiles"]


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("Gemma2", {"head_dim": 16}, "soft-capped"),
        ("Llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
    ],
)
def test_models_that_need_plain_batches_are_named(kind: str, changes: dict[str, Any], reason: str) -> None:
    model = make_model(kind, **changes)
    way = support.choose(model)
    assert way.name is None
    assert reason in way.reason


@pytest.mark.parametrize("name", ["Qwen2Moe", "Phimoe"])
def test_windows_that_attention_is_not_told_of_are_noticed(name: str) -> None:
    """Their masks have the window, which an exchanged attention function does not get."""
    changes = {"use_sliding_window": True, "max_window_layers": 3} if name == "Qwen2Moe" else {}
    model = make_model(name, sliding_window=100, **changes)
    way = support.choose(model)
    assert (way.name, way.padded, way.cached) == (None, True, True)
    assert "differ by" in way.reason
    assert model.config.sliding_window == 100


def test_models_that_read_padding_are_scored_one_by_one() -> None:
    """RWKV has no attention mask: what stands before a text changes its numbers."""
    model = make_model("Rwkv", attention_hidden_size=48, context_length=256)
    way = support.choose(model)
    assert (way.name, way.padded, way.cached) == (None, False, False)
    assert str(way) == "one by one, without a cache"
    encoded = long_requests()[:3]
    padded, alone = (
        [a for _, a in sorted(p for b in plain.score(
            model, encoded, limit=256, batch_tokens=size, pad=0, spent=scoring.Spent()) for p in b)]
        for size in (2000, 1)
    )  # fmt: skip
    assert_equal(alone, one_by_one(model, encoded), encoded)
    assert padded[0].logprobs != pytest.approx(alone[0].logprobs, abs=1e-2)


def test_a_wrong_packed_pass_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("Llama")
    real = attention.Path.write
    monkeypatch.setattr(attention.Path, "write", lambda self, layer, at, k, v: real(self, layer, at, 9 * k, v))
    way = support.choose(model)
    assert way.name is None
    assert "differ by" in way.reason


def test_plain_batches_equal_scoring_one_by_one(tiny: Any) -> None:
    encoded = [*long_requests(), Encoded([1], [list(range(3, 100)) * 4])]
    spent = scoring.Spent()
    answers = plain.score(tiny, encoded, limit=200, batch_tokens=500, pad=0, spent=spent)
    got = [answer for _, answer in sorted((p for batch in answers for p in batch), key=lambda p: p[0])]
    assert_equal(got, one_by_one(tiny, encoded, 200), encoded)


def test_plain_batches_are_halved_when_memory_runs_out(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = long_requests()
    real = plain._run

    def run(model: Any, batch: list[plain.Row], pad: int) -> Any:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("no memory")
        return real(model, batch, pad)

    monkeypatch.setattr(plain, "_run", run)
    answers = plain.score(tiny, encoded, limit=256, batch_tokens=2000, pad=0, spent=scoring.Spent())
    got = [answer for _, answer in sorted((p for batch in answers for p in batch), key=lambda p: p[0])]
    assert_equal(got, one_by_one(tiny, encoded), encoded)


@pytest.mark.parametrize("length", [3, 8, 9, 17, 40])
def test_prompts_longer_than_the_model_lose_their_beginning(tiny: Any, length: int) -> None:
    encoded = [Encoded(list(range(3, 30)), [list(range(30, 30 + length))])]
    got, _ = packed(tiny, encoded, limit=8)
    assert_equal(got, one_by_one(tiny, encoded, 8), encoded)


def test_a_continuation_longer_than_the_model_is_scored_in_windows_that_do_not_overlap() -> None:
    context, continuation = [1], list(range(10, 30))
    made = list(windows(context, continuation, 8))
    assert [t for w in made for t in w.targets] == continuation
    assert made[0].tokens == [1, *range(10, 17)]
    assert made[1].tokens == list(range(17, 25))
    assert made[2].tokens == list(range(21, 29))  # the last and shorter one sees as much as fits


def test_out_of_memory_halves_the_packs_and_loses_nothing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = long_requests()
    expected, _ = packed(tiny, encoded)
    real = scoring.forward

    def forward(model: Any, pack: Any, *args: Any) -> Any:
        result = real(model, pack, *args)
        if len(pack) > 50:
            raise torch.OutOfMemoryError("no memory")
        return result

    monkeypatch.setattr(scoring, "forward", forward)
    got, spent = packed(tiny, encoded, batch_tokens=300)
    assert_equal(got, expected, encoded)
    assert spent.computed_tokens / spent.passes > 25
