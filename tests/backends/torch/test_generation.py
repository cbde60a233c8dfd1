from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from harness.backends.base import Generated
from harness.backends.torch import attention, generation, plain_generation, scoring
from harness.backends.torch.answers import Answer, Texts, make_answers
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
@pytest.mark.parametrize("way", attention.WAYS[::2])
def test_long_prompts(tiny: Any, long_run: Any, slots: int, way: str) -> None:
    requests, contexts, expected = long_run
    got, spent = flow(tiny, requests, contexts, slots=slots, way=way, batch_tokens=100)
    assert got == expected
    assert spent.computed_tokens == distinct_tokens([Encoded(c, []) for c in contexts])
