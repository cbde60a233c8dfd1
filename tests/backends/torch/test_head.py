"""What is read off hidden states, some columns of the vocabulary at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backends.torch import head, linear

from .conftest import VOCABULARY, make_model


@pytest.fixture(scope="module", params=["Llama", "Gemma2", "Granite", "Cohere"])
def model(request: pytest.FixtureRequest) -> Any:
    changes = {"Gemma2": {"final_logit_softcapping": 3.0, "head_dim": 16}, "Granite": {"logits_scaling": 3.0}}
    made = make_model(request.param, **changes.get(request.param, {}))
    with torch.no_grad():  # small whole numbers, so that sums are exact in any order, and many of them equal
        made.get_output_embeddings().weight.copy_(_whole(torch.Generator().manual_seed(0), VOCABULARY, 48))
    return made


def _whole(draw: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(-2, 3, shape, generator=draw).float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exchanged", [True, False])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), rows=st.integers(1, 30), held=st.integers(1, 3000), wide=st.integers(1, 500))
def test_log_probabilities_and_argmaxes(
    model: Any, dtype: torch.dtype, exchanged: bool, seed: int, rows: int, held: int, wide: int
) -> None:
    model.to(dtype)
    for layer in model.modules():
        vars(layer).pop("forward", None)
    if exchanged:
        linear.exchange(model)
    draw = torch.Generator().manual_seed(seed)
    hidden = _whole(draw, 40, 48).to(dtype)
    places = torch.randint(0, 40, (rows,), generator=draw).numpy()
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        scores = head.logits(model, hidden)
        best = scores.argmax(-1)
        # half of the targets are what argmax takes, or the last one that is as likely
        targets = torch.randint(0, VOCABULARY, (rows,), generator=draw).numpy()
        last = VOCABULARY - 1 - scores.flip(-1).argmax(-1)
        targets[::2] = (best if seed % 2 else last)[places[::2]].numpy()
        patch.setattr(head, "LOGITS_ON_CPU", max(held, rows))
        patch.setattr(head, "NUMBERS_ON_CPU", wide)
        logprobs, greedy = head.read(model, hidden, places, targets)
        expected = torch.log_softmax(scores.double(), -1)[places, targets].numpy()
    np.testing.assert_allclose(logprobs, expected, atol=1e-5 if dtype is torch.float32 else 0.05)
    assert greedy.tolist() == (best[places].numpy() == targets).tolist()


def test_the_vocabulary_is_read_in_parts_only_where_a_layer_can_give_some(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.to(torch.float32)
    monkeypatch.setattr(head, "LOGITS_ON_CPU", 100)
    layer = model.get_output_embeddings()
    parts = head._columns(model, 3)
    assert [c.start for c in parts] == [0, *(c.stop for c in parts[:-1])]
    assert parts[-1].stop == VOCABULARY
    assert all(3 * (c.stop - c.start) <= 100 + 3 for c in parts)
    monkeypatch.setitem(layer.__dict__, "forward", lambda rows: torch.zeros(len(rows), VOCABULARY))
    assert head._columns(model, 3) == [slice(0, VOCABULARY)]
    assert linear.some(layer, torch.zeros(2, model.config.hidden_size), slice(3, 7)).shape == (2, 4)
