"""IndoMMLU's one table, cut into subjects; each subject's three set-aside questions are its shots."""

import re
from collections.abc import Callable
from typing import Any

from harness.errors import MissingError
from harness.plan.data import Files, Source

REPOSITORY = "indolem/IndoMMLU"
FILES = Files({"test": "IndoMMLU.csv"})
OPTION = re.compile(r"^([A-E])\.\s*", re.MULTILINE)


def dataset(subject: str, *, load: Callable[..., Any] | None = None, **_: Any) -> Any:
    """A subject's questions (``test``) and its shots (``dev``).

    A question whose key names none of its options cannot be answered, and is left out.

    Raises:
        MissingError: the table has no question of the subject.
    """
    from datasets import Dataset, DatasetDict

    table = (load or Source("hub").load)(REPOSITORY, files=FILES)["test"]
    splits: dict[str, list[dict[str, Any]]] = {"test": [], "dev": []}
    rows = [row for row, name in enumerate(table["subject"]) if name.strip() == subject]
    for row, doc in zip(rows, table.select(rows).to_list(), strict=True):
        if made := prepared(doc, row):
            splits["dev" if doc["is_for_fewshot"].strip() == "1" else "test"].append(made)
    if not splits["test"]:
        raise MissingError(
            f"data set {REPOSITORY} has no questions of the subject {subject}.",
            f"Download it again: hf download {REPOSITORY} --repo-type dataset",
        )
    return DatasetDict({split: Dataset.from_list(docs) for split, docs in splits.items()})


def prepared(doc: dict[str, str], row: int) -> dict[str, Any] | None:
    """A doc with its three to five options apart."""
    texts, key = options(doc["jawaban"]), doc["kunci"].strip().upper()
    if key not in texts:
        return None
    return {
        "row": str(row),
        "subject": doc["subject"].strip(),
        "question": doc["soal"].strip(),
        "options": [f"{letter}. {text}" for letter, text in texts.items()],
        "labels": list(texts),
        "gold": list(texts).index(key),
    }


def options(cell: str) -> dict[str, str]:
    """The options by letter: lines that begin with the next letter; what stands between belongs to the one before."""
    starts: list[re.Match[str]] = []
    for found in OPTION.finditer(cell):
        if found[1] == "ABCDE"[len(starts)]:
            starts.append(found)
        if len(starts) == 5:
            break
    ends = [start.start() for start in starts[1:]] + [len(cell)] * bool(starts)
    return {start[1]: cell[start.end() : end].strip() for start, end in zip(starts, ends, strict=True)}
