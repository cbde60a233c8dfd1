from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from harness.backends.base import Generated
from harness.backends.torch import (
    generation,
    head,
    pages,
    plain_generation,
    sampling,
    scoring,
    sharing,
    support,
    turn,
)
from harness.backends.torch.answers import Answer, Texts, cut, make_answers
from harness.backends.torch.prefill import Prefill
from harness.errors import BackendError, UserError
from harness.plan.request import Generate, Sampling
from harness.plan.tokens import Encoded, Tokenizer, distinct_tokens

from .conftest import VOCABULARY, make_model

END = 2


class Letters:
    """A tokenizer's face: each id is a letter or two."""

    eos_token_id = END
    bos_token_id = 1
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012 - the shape of transformers' own

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return "".join(chr(97 + i // 26) + chr(97 + i % 26) for i in ids if i != END)


TOKENIZER = Tokenizer(Letters())
SPENT = scoring.Spent()  # where nobody looks
CONTEXTS = st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=12), min_size=1, max_size=9)


def ask(n: int, **changes: Any) -> Generate:
    return Generate("", str(n), **{"stop": (), "max_tokens": 12, **changes})


def begin(model: Any, requests: Sequence[Generate], contexts: Sequence[list[int]]) -> list[Answer]:
    return make_answers(model, TOKENIZER, requests, [Encoded(list(c), []) for c in contexts], 256)


def flow(
    model: Any, requests: Sequence[Generate], contexts: Sequence[list[int]], **options: Any
) -> tuple[list[Generated], scoring.Spent]:
    spent = scoring.Spent()
    options = {"batch_tokens": 64, "slots": 4, "kv_tokens": 100_000, "way": "tiles", **options}
    done = generation.generate(model, begin(model, requests, contexts), spent=spent, **options)
    pairs = [pair for batch in done for pair in batch]
    assert sorted(index for index, _ in pairs) == list(range(len(requests)))
    return [answer for _, answer in sorted(pairs, key=lambda p: p[0])], spent


def one_by_one(model: Any, requests: Sequence[Generate], contexts: Sequence[list[int]]) -> list[Generated]:
    """Each text by transformers' own ``generate``."""
    found = []
    for request, context in zip(requests, contexts, strict=True):
        with torch.inference_mode():
            ids = model.generate(
                torch.tensor([context]),
                attention_mask=torch.ones((1, len(context)), dtype=torch.long),
                max_new_tokens=request.max_tokens,
                do_sample=False,
                eos_token_id=END,
                pad_token_id=0,
            )[0, len(context) :].tolist()
        finish = "stop" if ids[-1] == END else "length"
        found.append(Generated(TOKENIZER.decode(ids), finish, len(context), len(ids)))
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contexts=CONTEXTS,
    lengths=st.lists(st.integers(1, 20), min_size=9, max_size=9),
    size=st.integers(1, 40),
    slots=st.integers(1, 6),
    order=st.randoms(),
)
def test_texts_equal_generating_one_by_one(
    tiny: Any, contexts: list[list[int]], lengths: list[int], size: int, slots: int, order: Any
) -> None:
    order.shuffle(contexts)
    requests = [ask(i, max_tokens=n) for i, (n, _) in enumerate(zip(lengths, contexts, strict=False))]
    got, spent = flow(tiny, requests, contexts, batch_tokens=size, slots=slots)
    assert got == one_by_one(tiny, requests, contexts)
    assert spent.computed_tokens == distinct_tokens([Encoded(c, []) for c in contexts])
    assert spent.new_tokens == sum(answer.completion_tokens for answer in got)


def long_contexts(seed: int = 3) -> list[list[int]]:
    """Two groups with shared prefixes longer than pages and segments need, and one loner."""
    draw = torch.Generator().manual_seed(seed)

    def ids(n: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (n,), generator=draw).tolist()

    one, other = ids(120), ids(90)
    within = one + ids(20)
    return [one + ids(3 * n) for n in range(4)] + [other + ids(70) for _ in range(4)] + [within] * 3 + [ids(150)]


@pytest.fixture(scope="module")
def long_run(tiny: Any) -> tuple[list[Generate], list[list[int]], list[Generated]]:
    contexts = long_contexts()
    requests = [ask(i, max_tokens=8 + 24 * (i % 2)) for i in range(len(contexts))]
    return requests, contexts, one_by_one(tiny, requests, contexts)


@pytest.mark.parametrize("slots", [1, 3, 50])
@pytest.mark.parametrize("way", ["tiles", "strips", "mask"])
def test_long_prompts(tiny: Any, long_run: Any, slots: int, way: str) -> None:
    requests, contexts, expected = long_run
    got, spent = flow(tiny, requests, contexts, slots=slots, way=way, batch_tokens=100)
    assert got == expected
    assert spent.computed_tokens == distinct_tokens([Encoded(c, []) for c in contexts])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contexts=CONTEXTS, slots=st.integers(1, 6), worth=st.integers(1, 12), page=st.integers(1, 9))
def test_segments_and_pages_of_any_size(
    tiny: Any, contexts: list[list[int]], slots: int, worth: int, page: int
) -> None:
    requests = [ask(i, max_tokens=1 + i) for i in range(len(contexts))]
    with pytest.MonkeyPatch.context() as patch:
        for module in (pages, turn, generation):
            patch.setattr(module, "PAGE", page)
        got, _ = flow(tiny, requests, contexts, slots=slots, worth=worth)
    assert got == one_by_one(tiny, requests, contexts)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Mistral", {"sliding_window": 40}),
        ("Gemma2", {"head_dim": 16, "sliding_window": 20, "attn_logit_softcapping": None}),
        ("Qwen3", {"head_dim": 8}),
        ("Phi3", {}),
    ],
)
def test_other_decoders(kind: str, changes: dict[str, Any]) -> None:
    model = make_model(kind, **changes)
    contexts = long_contexts()[::3]
    requests = [ask(i, max_tokens=10) for i in range(len(contexts))]
    assert flow(model, requests, contexts, worth=50)[0] == one_by_one(model, requests, contexts)


def test_a_wrong_turn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("Llama")
    real = pages.Storage.put
    monkeypatch.setattr(
        pages.Storage, "put", lambda self, layer, page, place, k, v: real(self, layer, page, place, k, 9 * v)
    )
    way = support.choose(model)
    assert way.name is None
    assert "generated texts" in way.reason


def plainly(
    model: Any,
    requests: Sequence[Generate],
    contexts: Sequence[list[int]],
    kv: int,
    slots: int = 3,
    cached: bool = True,
) -> list[Generated]:
    """By padded batches."""
    done = plain_generation.generate(
        model,
        begin(model, requests, contexts),
        batch_tokens=500,
        slots=slots,
        kv_tokens=kv,
        spent=scoring.Spent(),
        cached=cached,
    )
    return [a for _, a in sorted((p for batch in done for p in batch), key=lambda p: p[0])]


def test_plain_batches_equal_generating_one_by_one(tiny: Any, long_run: Any) -> None:
    requests, contexts, expected = long_run
    assert plainly(tiny, requests, contexts, kv=100_000) == expected


def test_models_with_a_cache_of_their_own_generate_without_it() -> None:
    """Mamba takes its state by another name: a text went on from its newest token alone."""
    model = make_model("Mamba", state_size=8)
    way = support.choose(model)
    assert (way.name, way.padded, way.cached) == (None, False, False)
    contexts = long_contexts()[:3]
    requests = [ask(i, max_tokens=8) for i in range(len(contexts))]
    expected = one_by_one(model, requests, contexts)
    assert plainly(model, requests, contexts, kv=100_000, slots=1, cached=False) == expected
    assert plainly(model, requests, contexts, kv=100_000, slots=1) != expected


def test_plain_batches_without_a_cache_equal_generating_one_by_one(tiny: Any, long_run: Any) -> None:
    requests, contexts, expected = long_run
    assert plainly(tiny, requests, contexts, kv=100_000, cached=False) == expected


def test_plain_batches_stay_within_memory(tiny: Any, long_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, contexts, expected = long_run
    held = []
    real = plain_generation._run

    def run(model: Any, batch: list[Answer], *rest: Any) -> Any:
        held.append(len(batch) * max(len(a.context) + max(b.request.max_tokens for b in batch) for a in batch))
        return real(model, batch, *rest)

    monkeypatch.setattr(plain_generation, "_run", run)
    assert plainly(tiny, requests, contexts, kv=400) == expected
    assert 200 < max(held) <= 400
    with pytest.raises(UserError, match=r"backend\.kv_memory .* 150 tokens"):
        plainly(tiny, requests, contexts, kv=150)


def test_plain_batches_begin_again_when_memory_runs_out(
    tiny: Any, long_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, contexts, expected = long_run
    real = sampling.choose

    def choose(answers: Sequence[Answer], logits: torch.Tensor) -> list[int]:
        if len(answers) > 1 and len(answers[0].new) == 5:
            raise torch.OutOfMemoryError("no memory")
        return real(answers, logits)

    monkeypatch.setattr(sampling, "choose", choose)
    assert plainly(tiny, requests, contexts, kv=100_000) == expected


# sampling


def sampled(n: int, **changes: Any) -> list[Generate]:
    return [ask(i, sampling=Sampling(**{"temperature": 0.8, "seed": i, **changes})) for i in range(n)]


@pytest.mark.parametrize("changes", [{}, {"top_k": 7}, {"top_p": 0.6}, {"min_p": 0.1}])
def test_ten_thousand_draws_follow_the_models_distribution(tiny: Any, changes: dict[str, Any]) -> None:
    context = [5, 9, 11, 4]
    requests = [ask(i, max_tokens=1, sampling=Sampling(temperature=1.3, seed=i, **changes)) for i in range(10_000)]
    got, spent = flow(tiny, requests, [context] * len(requests))
    assert spent.computed_tokens == len(context)
    with torch.inference_mode():
        logits = tiny(torch.tensor([context])).logits[0, -1].double().numpy()
    probs = torch.softmax(torch.from_numpy(logits.copy()) / 1.3, -1)
    ordered = probs.sort(descending=True)
    if k := changes.get("top_k"):
        probs[ordered.indices[k:]] = 0
    if p := changes.get("top_p"):
        probs[ordered.indices[int((ordered.values.cumsum(0) < p).sum()) + 1 :]] = 0
    if p := changes.get("min_p"):
        probs[probs < p * probs.max()] = 0
    probs /= probs.sum()
    names = {TOKENIZER.decode([i]): i for i in range(VOCABULARY)}
    counts = np.bincount([names[answer.text] for answer in got], minlength=VOCABULARY)
    assert not counts[probs.numpy() == 0].any()
    common = probs.numpy() * len(got) >= 5
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(probs.numpy()[common], probs.numpy()[~common].sum()) * len(got)
    # a rest of next to nothing has no place in the test
    enough = expected >= 1
    observed, expected = observed[enough], expected[enough]
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def test_a_seed_gives_the_same_text_in_any_batch(tiny: Any) -> None:
    contexts = long_contexts()
    requests = sampled(len(contexts), top_p=0.9, repetition_penalty=1.1)
    alone = [flow(tiny, [r], [c])[0][0] for r, c in zip(requests, contexts, strict=True)]
    assert flow(tiny, requests, contexts, slots=50)[0] == alone
    assert flow(tiny, requests[::-1], contexts[::-1], slots=3)[0] == alone[::-1]
    assert len({answer.text for answer in alone[8:11]}) == 3  # one prompt, three seeds


def test_penalties_are_transformers_own(tiny: Any) -> None:
    context = [5, 9, 11, 4]
    got, _ = flow(tiny, [ask(0, sampling=Sampling(repetition_penalty=1.7))], [context])
    with torch.inference_mode():
        ids = tiny.generate(
            torch.tensor([context]), max_new_tokens=12, do_sample=False, eos_token_id=END, repetition_penalty=1.7
        )
    assert got[0].text == TOKENIZER.decode(ids[0, 4:].tolist())


# the flow


def test_short_texts_do_not_wait_for_long_ones(tiny: Any) -> None:
    requests = [ask(i, max_tokens=100 if i == 0 else 3) for i in range(12)]
    contexts = [[3 + i, 4, 5] for i in range(12)]
    spent = scoring.Spent()
    done = generation.generate(
        tiny, begin(tiny, requests, contexts), batch_tokens=64, slots=3, kv_tokens=10_000, way="tiles", spent=spent
    )
    order = [pair for batch in done for pair in batch]
    assert order[-1][0] == 0
    # all others came and went beside the long one, which got a token at every turn
    assert spent.turns == order[-1][1].completion_tokens - 1 > 20


def test_memory_is_kept_within(tiny: Any) -> None:
    contexts = long_contexts()
    requests = [ask(i, max_tokens=40) for i in range(len(contexts))]
    expected, _ = flow(tiny, requests, contexts, slots=50)
    limit, most = 900, 0
    answers = begin(tiny, requests, contexts)
    shared = sharing.share(contexts, 50, 50)
    prefill = Prefill(tiny, shared, 64, "tiles", SPENT)
    course = generation.Flow(tiny, shared, answers, prefill, 50, limit, SPENT, sampling.choose)
    while not course.done:
        with torch.inference_mode():
            course.advance()
        held = sum(len(shared.segments[n]) for n in course._kept) + course._storage.capacity * pages.PAGE
        most = max(most, held + prefill.longest)
    assert [answer.answer() for answer in answers] == expected
    assert limit / 2 < most <= limit
    assert not course._kept
    assert course._table.used == 0


def test_a_text_that_cannot_fit_is_named_before_it_is_begun(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"backend\.kv_memory .* 300 tokens"):
        flow(tiny, [ask(0, max_tokens=200)], [list(range(3, 150))], kv_tokens=300)


def test_out_of_memory_halves_and_loses_nothing(tiny: Any, long_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, contexts, expected = long_run
    real = head.logits

    def logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
        if len(hidden) > 3:
            raise torch.OutOfMemoryError("no memory")
        return real(model, hidden)

    monkeypatch.setattr(head, "logits", logits)
    assert flow(tiny, requests, contexts, slots=8, batch_tokens=300)[0] == expected


def test_a_repeated_draw_is_the_same(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = long_contexts()
    requests = sampled(len(contexts))
    expected, _ = flow(tiny, requests, contexts, slots=8)
    real = sampling.draw

    def draw(probs: torch.Tensor, numbers: Sequence[float]) -> list[int]:
        if len(numbers) > 3:
            raise torch.OutOfMemoryError("no memory")
        return real(probs, numbers)

    monkeypatch.setattr(sampling, "draw", draw)
    assert flow(tiny, requests, contexts, slots=8)[0] == expected


def test_packs_become_narrow_where_little_memory_is_left(tiny: Any) -> None:
    """What a whole pack of short prompts brings would not fit, though each of them does."""
    contexts = [[3 + i, *range(3, 20)] for i in range(20)]
    requests = [ask(i, max_tokens=40) for i in range(len(contexts))]
    got, _ = flow(tiny, requests, contexts, slots=50, batch_tokens=300, kv_tokens=200)
    assert got == one_by_one(tiny, requests, contexts)


def test_keys_and_values_that_do_not_fit_after_all_are_the_backends_fault(
    tiny: Any, long_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, contexts, _ = long_run

    def resize(*args: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(pages.Storage, "resize", resize)
    with pytest.raises(BackendError, match=r"lower backend\.kv_memory"):
        flow(tiny, requests, contexts)


def test_an_answer_as_long_as_the_model_sees_is_refused(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"generation\.max_tokens = 256 leaves no room"):
        begin(tiny, [ask(0), ask(1, max_tokens=256)], [[3], [4]])


# stop strings


def bytes_texts(ends: frozenset[int] = frozenset({END})) -> Texts:
    """Ids from 10 on are bytes."""
    return Texts(lambda ids: bytes(i - 10 for i in ids if i >= 10).decode("utf-8", "replace"), {5: "<|five|>"}, ends)


def whole_runs() -> Texts:
    """As above, but bytes that are no text together are lost one and all, as some tokenizers do."""

    def decode(ids: Sequence[int]) -> str:
        data = bytes(i - 10 for i in ids if i >= 10)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(data)

    return Texts(decode, {}, frozenset({END}))


@pytest.mark.parametrize("texts", [bytes_texts(), whole_runs()])
@given(
    text=st.text(st.sampled_from("aé界\n:"), max_size=12),
    stop=st.lists(st.text(st.sampled_from("aé界\n:"), min_size=1, max_size=3), max_size=3),
)
@example(text="界界界界\n", stop=["\n"])
def test_stops_are_found_at_once_wherever_tokens_split(texts: Texts, text: str, stop: list[str]) -> None:
    answer = Answer(0, ask(0, stop=tuple(stop), max_tokens=1000), [1], texts)
    for i, byte in enumerate(text.encode()):
        answer.push(byte + 10)
        so_far = text.encode()[: i + 1].decode("utf-8", "ignore")
        if answer.finish is not None:
            assert any(s in so_far for s in stop)
            assert answer.answer().text == cut(so_far, stop)
            return
        assert not any(s in so_far for s in stop)
    answer.push(END)
    assert answer.answer() == Generated(text, "stop", 1, len(text.encode()) + 1)


def test_an_answer_at_its_limit_is_truncated() -> None:
    answer = Answer(0, ask(0, max_tokens=4), [1], bytes_texts())
    for byte in "ab界".encode()[:4]:
        answer.push(byte + 10)
    assert answer.answer() == Generated("ab\ufffd", "length", 1, 4)


def test_special_tokens_stop_and_hide() -> None:
    answer = Answer(0, ask(0, stop=("<|five|>",)), [1], bytes_texts())
    for token in (75, 5):
        answer.push(token)
    assert answer.answer() == Generated("A", "stop", 1, 2)
    other = Answer(0, ask(0, stop=("AB",)), [1], bytes_texts())
    for token in (75, *[5] * 9, 76):
        other.push(token)
    assert other.answer() == Generated("", "stop", 1, 11)
