"""Where an answer begins: the letter alone in Chinese exams, with its space in all others, on two tokenizers.

The tokenizers are made on the spot, with the pre-tokenizers of the Llama and of the Qwen family, from the questions of
the sample docs; no letter follows a colon there, so that none merges with it by the accident of a small corpus.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer
from transformers import PreTrainedTokenizerFast

from harness.errors import UserError
from harness.plan.planner import BenchmarkPlan
from harness.plan.request import Score
from harness.plan.tokens import Tokenizer
from tests.tasks.support import plan

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPACED, BARE = [" A", " B", " C", " D", " E"], ["A", "B", "C", "D"]
# after a half-width colon the letter has a space before it, after a full-width one it has none
EXAMS = {
    "mmlu": SPACED[:4],
    "c_eval": BARE,
    "cmmlu": BARE,
    "belebele": SPACED[:4],
    "m3exam": SPACED,
    "indommlu": SPACED,
    "rummlu": SPACED[:4],
    "mmmlu": SPACED[:4],
}


def qwen_like() -> RawTokenizer:
    """Bytes, split as Qwen2 splits."""
    raw = RawTokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    return raw


def llama_like() -> RawTokenizer:
    """Pieces with a mark for the space, and single bytes for what is not in the vocabulary."""
    raw = RawTokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return raw


def trained(make: Callable[[], RawTokenizer], texts: list[str], size: int = 3000) -> PreTrainedTokenizerFast:
    raw = make()
    bytes_ = [f"<0x{i:02X}>" for i in range(256)] if make is llama_like else []
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<unk>", "<|end|>", *bytes_],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if make is qwen_like else [],
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", unk_token="<unk>")


@functools.cache
def planned(exam: str) -> BenchmarkPlan:
    return plan(exam)


def questions() -> list[str]:
    texts = []
    for exam in EXAMS:
        for task in planned(exam).tasks:
            docs = [doc.doc for doc in task.docs]
            texts += [task.task.doc_to_text(doc).rpartition("\n")[0] + "\n" for doc in docs]
            texts += ["答案：\n", "Answer:\n", "from A to B to C to D to E and on\n"]
    return texts


@pytest.fixture(scope="module", params=[llama_like, qwen_like], ids=["llama", "qwen"])
def tokenizer(request: Any) -> Tokenizer:
    return Tokenizer(trained(request.param, questions()), boundary="strict")


@pytest.mark.parametrize("exam", EXAMS)
def test_each_letter_is_one_token_of_its_own(exam: str, tokenizer: Tokenizer) -> None:
    requests = [r for task in planned(exam).tasks for doc in task.docs for r in doc.requests]
    letters: dict[str, set[int]] = {}
    for request, encoded in zip(requests, tokenizer.encode(requests), strict=True):
        assert isinstance(request, Score)
        assert list(request.continuations) == EXAMS[exam][: len(request.continuations)]
        assert not request.context[-1].isspace()
        for letter, ids in zip(request.continuations, encoded.continuations, strict=True):
            assert len(ids) == 1
            letters.setdefault(letter, set()).update(ids)
        whole = tokenizer.inner(request.context + request.continuations[0])["input_ids"]
        assert whole == encoded.context + encoded.continuations[0]
    # the same tokens for every question, and they spell the bare or the spaced letter
    assert all(len(ids) == 1 for ids in letters.values())
    spelled = [
        tokenizer.inner.convert_ids_to_tokens(ids.pop()).replace("Ġ", " ").replace("▁", " ") for ids in letters.values()
    ]
    assert spelled == EXAMS[exam]


def test_a_letter_that_merges_with_the_colon_is_refused() -> None:
    texts = [*questions(), *["答案：A\n"] * 200]
    merging = Tokenizer(trained(qwen_like, texts), boundary="strict")
    request = next(planned("c_eval").requests)
    with pytest.raises(UserError, match="merges the end of the context"):
        merging.encode([request])
