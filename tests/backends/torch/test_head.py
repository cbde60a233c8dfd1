"""What is read off hidden states, some columns of the vocabulary at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backends.torch import head, linear
from harness.errors import BackendError

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


def _plain(model: Any, dtype: torch.dtype) -> None:
    """As it was made, whatever a test before did."""
    model.to(dtype).requires_grad_(False)
    for layer in model.modules():
        vars(layer).pop("forward", None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["exchanged", "plain", "wrapped"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 30),
    once=st.integers(1, 30),
    held=st.integers(1, 3000),
    wide=st.integers(1, 500),
)
def test_log_probabilities_and_argmaxes(
    model: Any, dtype: torch.dtype, kind: str, seed: int, rows: int, once: int, held: int, wide: int
) -> None:
    _plain(model, dtype)
    if kind == "exchanged":
        linear.exchange(model)
    elif kind == "wrapped":
        layer = model.get_output_embeddings()
        layer.forward = lambda x: torch.nn.functional.linear(x, layer.weight)
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
        patch.setattr(head, "ROWS_ON_CPU", once)
        patch.setattr(head, "WHOLE_ROWS_ON_CPU", once)
        patch.setattr(head, "LOGITS_ON_CPU", held)
        patch.setattr(head, "FLOATS_ON_CPU", wide)
        logprobs, greedy = head.read(model, hidden, places, targets)
        expected = torch.log_softmax(scores.double(), -1)[places, targets].numpy()
    np.testing.assert_allclose(logprobs, expected, atol=1e-5)
    assert greedy.tolist() == (best[places].numpy() == targets).tolist()


def test_the_vocabulary_is_read_in_parts_only_where_a_layer_can_give_some(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plain(model, torch.float32)
    monkeypatch.setattr(head, "LOGITS_ON_CPU", 100)
    layer = model.get_output_embeddings()
    parts = head._columns(model, 3)
    assert [c.start for c in parts] == [0, *(c.stop for c in parts[:-1])]
    assert parts[-1].stop == VOCABULARY
    assert all(3 * (c.stop - c.start) <= 100 + 3 for c in parts)
    assert linear.some(layer, torch.zeros(2, 48), slice(3, 7)).shape == (2, 4)
    with monkeypatch.context() as patch:
        patch.setitem(layer.__dict__, "forward", lambda rows: torch.zeros(len(rows), VOCABULARY))
        assert head._columns(model, 3) == [slice(None)]
        assert linear.some(layer, torch.zeros(2, 48), slice(3, 7)).shape == (2, 4)
    handle = layer.register_forward_hook(lambda *_: None)
    assert head._columns(model, 3) == [slice(None)]
    handle.remove()
    assert head._columns(model, 3) == parts


def test_many_reads_of_one_place_copy_its_logits_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _plain(model, torch.float32)
    hidden = torch.ones(1, 48)
    best = int(head.logits(model, hidden).argmax())
    copied = []
    real = torch.Tensor.index_select
    monkeypatch.setattr(torch.Tensor, "index_select", lambda t, *a: copied.append(len(a[1])) or real(t, *a))
    with torch.inference_mode():
        _, greedy = head.read(model, hidden, np.zeros(500, np.int64), np.full(500, best))
    assert greedy.all()
    assert copied == [1, 1]  # of hidden states, of logits


def test_what_is_ruled_out_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("Llama")
    layer = model.get_output_embeddings()
    layer.bias = torch.nn.Parameter(torch.zeros(VOCABULARY).index_fill_(0, torch.arange(100, VOCABULARY), -torch.inf))
    monkeypatch.setattr(head, "LOGITS_ON_CPU", 20)
    with torch.inference_mode():
        hidden = torch.ones(2, 48)
        logprobs, greedy = head.read(model, hidden, np.arange(2), np.array([3, 150]))
        expected = torch.log_softmax(head.logits(model, hidden), -1)
    assert logprobs.tolist() == pytest.approx([float(expected[0, 3]), -float("inf")])
    assert not greedy[1]


def test_a_token_that_the_model_does_not_have_is_named(model: Any) -> None:
    _plain(model, torch.float32)
    with pytest.raises(BackendError, match=f"no token {VOCABULARY}"):
        head.read(model, torch.ones(1, 48), np.zeros(1, np.int64), np.array([VOCABULARY]))


def test_a_head_wider_than_the_config_says_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("Llama")
    model.set_output_embeddings(torch.nn.Linear(48, VOCABULARY + 5, bias=False))
    monkeypatch.setattr(head, "LOGITS_ON_CPU", 100)
    with torch.inference_mode():
        hidden = torch.ones(2, 48)
        scores = head.logits(model, hidden)
        logprobs, greedy = head.read(model, hidden, np.arange(2), np.array([VOCABULARY + 4, int(scores[1].argmax())]))
        expected = torch.log_softmax(scores, -1)
    assert scores.shape == (2, VOCABULARY + 5)
    assert logprobs[0] == pytest.approx(float(expected[0, VOCABULARY + 4]))
    assert greedy[1]
