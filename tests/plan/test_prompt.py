"""Our prompts are lm-eval's, letter by letter, where lm-eval takes the same shots."""

from typing import Any

import pytest

from harness.errors import UserError
from harness.plan import Source, library
from harness.plan.prompt import Prompter, Style

TASKS = [
    ("mmlu_anatomy", 3),
    ("hellaswag", 2),
    ("gsm8k", 4),
    ("gsm8k_cot", 2),
    ("winogrande", 3),
    ("arc_challenge", 5),
    ("truthfulqa_mc1", 0),
    ("ceval-valid_law", 2),
]


def build(name: str) -> Any:
    (config,) = library.leaf_configs(name)
    config["fewshot_config"] = {**(config.get("fewshot_config") or {}), "sampler": "first_n"}
    return library.build(config, Source("sample"))


@pytest.mark.parametrize(("name", "shots"), TASKS)
def test_prompt_equals_lm_evals(name: str, shots: int) -> None:
    task = build(name)
    prompter = Prompter(task, shots, seed=0)
    for row, doc in enumerate(list(task.task_docs)[:5]):
        theirs = task.fewshot_context(doc, num_fewshot=shots, gen_prefix=task.doc_to_prefix(doc))
        ours = prompter.render(doc, str(row))
        texts = [ours.prefix + query for query in ours.queries]
        assert texts == (theirs if isinstance(theirs, list) else [theirs])


def test_system_prompt_stands_first() -> None:
    task = build("mmlu_anatomy")
    doc = task.task_docs[0]
    ours = Prompter(task, 1, seed=0, system="Be brief.").render(doc, "0")
    assert ours.prefix + ours.queries[0] == task.fewshot_context(doc, num_fewshot=1, system_instruction="Be brief.")


def test_prefix_is_shared_by_all_docs() -> None:
    task = build("mmlu_anatomy")
    prompter = Prompter(task, 5, seed=0)
    prefixes = {id(prompter.render(doc, str(i)).prefix) for i, doc in enumerate(task.task_docs)}
    assert len(prefixes) == 1


def test_the_asked_doc_and_its_twins_are_never_shots() -> None:
    task = build("mmlu_anatomy")
    # shots from the evaluated split itself, with one doc twice: the worst case
    docs = [*list(task.task_docs)[:3], task.task_docs[0]]
    task.sampler.df = docs
    prompter = Prompter(task, 2, seed=0)
    shown = [
        [other for other in range(3) if docs[other]["question"] in prompter.render(doc, str(row)).prefix]
        for row, doc in enumerate(docs)
    ]
    # docs 0 and 3 are twins: when one is asked, neither is shown
    assert shown == [[1, 2], [0, 2], [0, 1], [1, 2]]


def clustered(passages: list[str], shots: int) -> tuple[list[Any], Prompter]:
    """Docs that share passages, which are their own few-shot docs."""
    task = build("mmlu_anatomy")
    docs = [{**doc, "passage": passage} for doc, passage in zip(task.task_docs, passages, strict=False)]
    task.sampler.df = docs
    task.config.metadata = {**(task.config.metadata or {}), "cluster": "passage"}
    return docs, Prompter(task, shots, seed=0)


def test_a_shot_never_shares_the_asked_docs_cluster() -> None:
    docs, prompter = clustered(["a", "a", "b", "c", "b", "c"], 2)
    shown = [
        [other for other in range(6) if docs[other]["question"] in prompter.render(doc, str(row)).prefix]
        for row, doc in enumerate(docs)
    ]
    assert shown == [[2, 3], [2, 3], [0, 1], [0, 1], [0, 1], [0, 1]]
    # two sets of shots, and two prefixes
    assert len({id(prompter.render(doc, str(row)).prefix) for row, doc in enumerate(docs)}) == 2


def test_drawn_shots_never_share_the_asked_docs_cluster() -> None:
    docs, prompter = clustered(["a", "a", "b", "c", "b", "c"], 3)
    prompter.sampler = "seeded"
    for doc in docs:
        for doc_id in map(str, range(20)):
            prefix = prompter.render(doc, doc_id).prefix
            shown = [other["passage"] for other in docs if other["question"] in prefix]
            assert len(shown) == 3
            assert doc["passage"] not in shown


def test_a_cluster_that_leaves_too_few_shots_is_a_user_error() -> None:
    docs, prompter = clustered(["a", "a", "a", "b"], 2)
    with pytest.raises(UserError, match=r"doc 0: 2 shots asked of 1 docs .* share nothing with it") as raised:
        prompter.render(docs[0], "0")
    assert raised.value.remedy == "Set the shots of this benchmark to 1 or less."
    assert prompter.render(docs[3], "3").prefix


def test_few_shot_docs_without_the_clusters_column_are_no_twins() -> None:
    task = build("mmlu_anatomy")
    task.config.metadata = {"cluster": "passage"}
    doc = {**task.task_docs[0], "passage": "a"}
    assert Prompter(task, 5, seed=0).render(doc, "0").prefix


def test_more_shots_than_docs_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"7 shots for task mmlu_anatomy.*\(dev\) has 5 docs"):
        Prompter(build("mmlu_anatomy"), 7, seed=0)


def test_a_conversation_holds_the_same_words_in_turns() -> None:
    task = build("mmlu_anatomy")
    prompter = Prompter(task, 2, seed=0, system="Be brief.")
    doc = next(iter(task.task_docs))
    plain = prompter.render(doc, "0")
    (turns,) = prompter.converse(doc, "0", Style(multiturn=True, continues=True)).conversations
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns[0].text.startswith("Be brief.")
    (single,) = prompter.converse(doc, "0", Style(multiturn=False, continues=True)).conversations
    assert [turn.role for turn in single] == ["system", "user"]
    # one message holds the shots and the question as the plain prompt has them
    assert (plain.prefix + plain.queries[0]).endswith(single[1].text)
    assert [turns[2].text, turns[4].text] == [turn.text[-1] for turn in (turns[2], turns[4])]


def test_an_answer_that_has_begun_is_the_assistants_where_it_can_go_on() -> None:
    (config,) = library.leaf_configs("gsm8k")
    task = library.build({**config, "gen_prefix": "I count:"}, Source("sample"))
    doc = next(iter(task.task_docs))
    prompter = Prompter(task, 0, seed=0)
    (goes_on,) = prompter.converse(doc, "0", Style(multiturn=False, continues=True)).conversations
    assert [(turn.role, turn.text[-8:]) for turn in goes_on][-1] == ("assistant", "I count:")
    (cannot,) = prompter.converse(doc, "0", Style(multiturn=False, continues=False)).conversations
    assert [turn.role for turn in cannot] == ["user"]
    assert cannot[0].text.endswith("I count:")


@pytest.mark.parametrize("sampler", ["first_n", "seeded"])
def test_shots_share_a_column_with_the_asked_doc(sampler: str) -> None:
    (config,) = library.leaf_configs("mmlu_anatomy")
    task = library.build({**config, "metadata": {"shots_share": "subject"}}, Source("sample"))
    pool = list(task.sampler.df)
    task.sampler.df = [{**shot, "subject": "odd" if i % 2 else "even"} for i, shot in enumerate(pool)]
    prompter = Prompter(task, 2, seed=0, sampler=sampler)
    for subject, rows in (("even", [0, 2, 4]), ("odd", [1, 3])):
        prefix = prompter.render({**task.task_docs[0], "subject": subject}, "0").prefix
        shown = [i for i, shot in enumerate(pool) if shot["question"] in prefix]
        assert len(shown) == 2
        assert set(shown) <= set(rows)
    with pytest.raises(UserError, match="2 shots asked of 0 docs"):
        prompter.render({**task.task_docs[0], "subject": "none"}, "0")
