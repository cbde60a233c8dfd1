from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.plan import Generate, Message, Score
from harness.plan.tokens import Encoded, Tokenizer, distinct_tokens

PREFIX = "Question: Which organ pumps blood?\nA. liver\nB. heart\nAnswer: B\n\n" * 6


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    return Tokenizer(AutoTokenizer.from_pretrained(tiny_checkpoint))


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.inner(text)["input_ids"])


def test_a_long_prefix_is_cut_before_its_end(tokenizer: Tokenizer) -> None:
    place, head = tokenizer._cut(PREFIX)
    assert 0 < place < len(PREFIX) - 2
    assert head == whole(tokenizer, PREFIX[:place])


@given(query=st.text(max_size=30), answer=st.sampled_from([" A", " the heart", "B"]))
@settings(max_examples=300, deadline=None)
def test_encoding_in_two_parts_equals_encoding_at_once(tokenizer: Tokenizer, query: str, answer: str) -> None:
    (encoded,) = tokenizer.encode([Generate(PREFIX, query, (), 1)])
    assert encoded.context == whole(tokenizer, PREFIX + query)
    tokenizer.boundary = "split"
    (scored,) = tokenizer.encode([Score(PREFIX, query + "x", (answer,))])
    tokenizer.boundary = "strict"
    text = PREFIX + query + "x"
    assert scored.context == whole(tokenizer, text)
    joined = whole(tokenizer, text + answer)
    if joined[: len(scored.context)] == scored.context:
        assert scored.context + scored.continuations[0] == joined


def test_trailing_space_belongs_to_the_continuation(tokenizer: Tokenizer) -> None:
    (encoded,) = tokenizer.encode([Score("", "The answer is ", ("B",))])
    assert encoded.context == whole(tokenizer, "The answer is")
    assert tokenizer.decode(encoded.continuations[0]) == " B"


def test_an_answer_that_merges_with_its_context_is_refused(tokenizer: Tokenizer) -> None:
    merged = Score("", "Questi", ("on",))
    assert whole(tokenizer, "Question")[: len(whole(tokenizer, "Questi"))] != whole(tokenizer, "Questi")
    with pytest.raises(UserError, match="merges the end of the context") as caught:
        tokenizer.encode([merged])
    assert "backend.boundary=split" in caught.value.remedy


@pytest.mark.parametrize("context", ["", "Answer:"])
def test_an_answer_without_tokens_is_refused(tokenizer: Tokenizer, context: str) -> None:
    with pytest.raises(UserError, match="the answer '' has no tokens"):
        tokenizer.encode([Score("", context, (" B", ""))])


def test_split_cuts_where_the_context_would_end(tokenizer: Tokenizer) -> None:
    loose = Tokenizer(tokenizer.inner, "split")
    (encoded,) = loose.encode([Score("", "Answ", ("er: Bob",))])
    assert encoded.continuations[0] == whole(tokenizer, "Answer: Bob")[len(whole(tokenizer, "Answ")) :]


def test_an_empty_context_gets_a_prefix_token(tokenizer: Tokenizer) -> None:
    (encoded,) = tokenizer.encode([Score("", "", ("heart",))])
    assert encoded.context == [tokenizer.inner.eos_token_id]
    assert encoded.continuations == [whole(tokenizer, "heart")]


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(st.lists(st.builds(Encoded, TOKENS, st.lists(TOKENS, max_size=3)), min_size=1, max_size=8))
def test_distinct_tokens_are_the_nodes_of_the_trie(requests: list[Encoded]) -> None:
    rows = [e.context + c for e in requests for c in (e.continuations or [[]])]
    assert distinct_tokens(requests) == len({tuple(row[: i + 1]) for row in rows for i in range(len(row))})
    assert sum(e.tokens for e in requests) == sum(map(len, rows))


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% if not (loop.last and m.role == 'assistant') %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_conversation_is_encoded_as_the_template_writes_it(tokenizer: Tokenizer) -> None:
    talk = (Message("user", "Which organ? "), Message("assistant", "The "), Message("user", "Go on "))
    with pytest.raises(UserError, match="has no chat template"):
        tokenizer.encode([Generate("", "", (), 1, messages=talk)])
    tokenizer.inner.chat_template = TEMPLATE
    try:
        text = "<user>Which organ? <|end|><assistant>The <|end|><user>Go on <|end|><assistant>"
        asked, begun = tokenizer.encode(
            [Generate("", "", (), 1, messages=talk), Score("", "", ("heart", "liver"), talk[:2])]
        )
        assert asked.context == whole(tokenizer, text)
        # the space at the end of what has begun belongs to the continuation
        assert begun.context == whole(tokenizer, "<user>Which organ? <|end|><assistant>The")
        assert [tokenizer.inner.decode(ids) for ids in begun.continuations] == [" heart", " liver"]
        with pytest.raises(UserError, match="refuses the conversation: no system"):
            tokenizer.encode([Generate("", "", (), 1, messages=(Message("system", "Be brief."), *talk))])
    finally:
        tokenizer.inner.chat_template = None
