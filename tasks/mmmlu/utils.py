"""MultilingualSIFT's translations of MMLU: one repository a language, one table a subject and split."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.plan.data import Files, Source

COLUMNS = ("question", "A", "B", "C", "D", "answer")


def dataset(name: str, *, load: Callable[..., Any] | None = None, **_: Any) -> Any:
    """All subjects of the language whose repository ends with ``name``, each row with its subject and an id."""
    from datasets import Dataset, DatasetDict

    repository = f"FreedomIntelligence/MMLU_{name}"
    files = Files({split: f"mmlu_{name}/{split}/*_{split}.csv" for split in ("test", "dev")}, COLUMNS, origin="file")
    tables = (load or Source("hub").load)(repository, files=files)
    made = {split: Dataset.from_list(docs(tables[split].to_list(), split)) for split in ("test", "dev")}
    return DatasetDict(made)


def docs(rows: list[dict[str, str]], split: str) -> list[dict[str, str]]:
    """Rows as docs; the id is the subject and the row of its table. A row whose key is no letter is left out."""
    made, seen = [], Counter[str]()
    for row in rows:
        subject = row["file"].removesuffix(f"_{split}")
        doc = {column: row[column].strip() for column in COLUMNS}
        if doc["answer"] in ("A", "B", "C", "D"):
            made.append({**doc, "subject": subject, "id": f"{subject}/{seen[subject]}"})
        seen[subject] += 1
    return made
