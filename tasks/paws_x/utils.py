"""The two texts of a PAWS-X pair, which are lm-eval's to word, and a guard against copies without labels."""

import ast
from importlib import import_module
from typing import Any

from harness.errors import MissingError
from harness.plan.borrowed import lm_eval_yaml

REPOSITORY = "google-research-datasets/paws-x"


def spanish(dataset: Any) -> Any:
    """The Spanish pairs."""
    return worded(dataset, "es")


def french(dataset: Any) -> Any:
    """The French pairs."""
    return worded(dataset, "fr")


def german(dataset: Any) -> Any:
    """The German pairs."""
    return worded(dataset, "de")


def japanese(dataset: Any) -> Any:
    """The Japanese pairs."""
    return worded(dataset, "ja")


def korean(dataset: Any) -> Any:
    """The Korean pairs."""
    return worded(dataset, "ko")


def worded(dataset: Any, language: str) -> Any:
    """The pairs with the column ``texts``: as no paraphrase, and as one. Pairs with an empty sentence are left out.

    Raises:
        MissingError: a row has no label.
    """
    from lm_eval.utils import apply_template

    check_labels(dataset, language)
    pairs = zip(dataset["sentence1"], dataset["sentence2"], strict=True)
    dataset = dataset.select([row for row, pair in enumerate(pairs) if all(pair)])
    task = lm_eval_yaml(f"paws-x/paws_{language}.yaml")
    docs = [mended(doc) if "process_docs" in task else doc for doc in dataset.to_list()]
    texts = [ast.literal_eval(apply_template(task["doc_to_choice"], doc)) for doc in docs]
    return dataset.add_column("texts", texts)


def mended(doc: dict[str, Any]) -> dict[str, Any]:
    """A pair as lm-eval spells it in some languages: spaces, and what would stand in the middle of the joined text."""
    lm_eval = import_module("lm_eval.tasks.paws-x.utils")
    first, second = (lm_eval.general_detokenize(doc[name]).strip() for name in ("sentence1", "sentence2"))
    cut = first[:-1] if first[-1:] in {".", ",", ";"} else first
    return {**doc, "sentence1": cut, "sentence2": lm_eval.lowercase_first_letter(second)}


def check_labels(dataset: Any, language: str) -> None:
    """Refuse a copy of the set whose labels were left out, or replaced by -1.

    Raises:
        MissingError: a row has no label.
    """
    without = [row for row, label in enumerate(dataset["label"]) if label not in (0, 1)]
    if without:
        raise MissingError(
            f"{REPOSITORY}, config {language}: {len(without)} of {len(dataset)} rows of a split have no label "
            f"(0 or 1), the first with id {dataset[without[0]]['id']}.",
            "Use a copy that has the labels, such as the hub's.",
        )
