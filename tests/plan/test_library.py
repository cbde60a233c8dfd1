import pytest

from harness.errors import MissingError, UserError
from harness.plan import library


def test_a_group_becomes_its_leaves_with_the_groups_keys() -> None:
    leaves = library.leaf_configs("mmlu_plain")
    assert len(leaves) == 57
    assert leaves[1]["task"] == "mmlu_plain_anatomy"
    assert leaves[1]["dataset_name"] == "anatomy"
    assert leaves[1]["dataset_path"] == "cais/mmlu"
    assert "Question:" not in leaves[1]["doc_to_text"]


def test_groups_and_tags_of_lm_evals_library() -> None:
    assert {leaf["task"] for leaf in library.leaf_configs("ai2_arc")} == {"arc_challenge", "arc_easy"}
    assert len(library.leaf_configs("mmlu")) == 57
    assert len({leaf["task"] for leaf in library.leaf_configs("bbh_cot_fewshot")}) == 27


def test_unknown_names_and_tasks_that_need_more() -> None:
    with pytest.raises(UserError, match="no benchmark or task arc_chalenge") as caught:
        library.leaf_configs("arc_chalenge")
    assert "arc_challenge" in caught.value.remedy
    # its helpers fetch a metric from the network when they are read
    with pytest.raises(MissingError, match="task humaneval needs something that is not here"):
        library.leaf_configs("humaneval")


def test_the_library_index_is_read_from_its_kept_file(monkeypatch: pytest.MonkeyPatch) -> None:
    first = library.library_index()
    library.library_index.cache_clear()
    monkeypatch.setattr(library, "_read_index", None)
    assert library.library_index() == first
