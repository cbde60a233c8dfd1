"""BLEU from counts of sentences is sacrebleu's, and its bootstrap is the bootstrap of the texts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import MissingError
from harness.paths import tasks_dir
from harness.score import corpus, statistics
from harness.score.corpus import bleu_counts, bleu_signature, corpus_bleu

SAMPLE = tasks_dir() / "flores" / "sample" / "gsarti" / "flores_101"
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ",", "."]), max_size=9).map(" ".join)


def sentences(config: str) -> list[str]:
    lines = (SAMPLE / config / "devtest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["sentence"] for line in lines]


def altered(text: str, i: int) -> str:
    """Another wording of a sentence: its end is lost, and in every third sentence its beginning too."""
    return text[len(text) // 4 if i % 3 == 0 else 0 : -2 - 3 * (i % 4)]


@pytest.mark.parametrize(
    ("config", "tokenizer"),
    [("eng", "13a"), ("ara", "13a"), ("kor", "13a"), ("zho_simpl", "zh"), ("jpn", "char"), ("tha", "char")],
)
def test_counts_of_sentences_give_sacrebleus_figure(config: str, tokenizer: str) -> None:
    references = sentences(config)
    texts = ["", *(altered(text, i) for i, text in enumerate(references))][: len(references)]
    items = [bleu_counts(text, reference, tokenizer) for text, reference in zip(texts, references, strict=True)]
    assert corpus_bleu(items) == sacrebleu.corpus_bleu(texts, [references], tokenize=tokenizer).score
    shifted = [altered(text, i) for i, text in enumerate(references)]
    items = [bleu_counts(text, reference, tokenizer) for text, reference in zip(shifted, references, strict=True)]
    expected = sacrebleu.corpus_bleu(shifted, [references], tokenize=tokenizer).score
    assert corpus_bleu(items) == expected
    assert 20 < expected < 100


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_any_corpus_gives_sacrebleus_figure(pairs: list[tuple[str, str]]) -> None:
    items = [bleu_counts(text, reference, "13a") for text, reference in pairs]
    texts, references = zip(*pairs, strict=True)
    assert corpus_bleu(items) == sacrebleu.corpus_bleu(list(texts), [list(references)]).score


def test_the_bootstrap_of_counts_is_that_of_texts() -> None:
    references = sentences("deu") * 4
    pairs = [(altered(text, i), text) for i, text in enumerate(references)]
    items = [bleu_counts(*pair, "13a") for pair in pairs]
    by_texts = statistics.bootstrap_stderr(
        pairs,
        lambda drawn: sacrebleu.corpus_bleu([p[0] for p in drawn], [[p[1] for p in drawn]]).score,  # type: ignore[index]
        seed=0,
    )
    by_counts = statistics.bootstrap_sums_stderr(np.asarray(items, dtype=float), corpus_bleu.of_sums, seed=0)
    assert by_texts is not None
    assert by_counts == pytest.approx(by_texts, rel=0.1)
    assert by_counts == statistics.bootstrap_sums_stderr(np.asarray(items, dtype=float), corpus_bleu.of_sums, seed=0)


def test_one_sentence_has_no_error() -> None:
    assert statistics.bootstrap_sums_stderr(np.ones((1, 10)), corpus_bleu.of_sums, seed=0) is None


def test_the_signature_is_sacrebleus() -> None:
    scorer = sacrebleu.BLEU(tokenize="zh")
    scorer.corpus_score(["你好。"], [["你好。"]])
    assert bleu_signature("zh") == str(scorer.get_signature())
    assert "tok:zh" in bleu_signature("zh")


@pytest.mark.parametrize(
    ("tokenizer", "module", "extra"),
    [("ja-mecab", "MeCab", "mecab"), ("ko-mecab", "mecab_ko", "mecab")],
)
def test_a_missing_package_is_named_with_its_extra(tokenizer: str, module: str, extra: str) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    with pytest.raises(MissingError, match=rf"(?s)tokenizer {tokenizer} needs.*harness\[{extra}\]"):
        bleu_signature(tokenizer)


def test_a_missing_model_is_named_and_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sacrebleu.utils

    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(sacrebleu.utils, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(sacrebleu.utils, "download_file", refuse)
    corpus._scorer.cache_clear()
    with pytest.raises(MissingError, match=r"(?s)sacrebleu_tokenizer_spm\.model, which is not in.*then once"):
        bleu_signature("flores101")
