"""Schemas and suffixes of XWinograd."""

from typing import Any

RUN = 16  # characters in a row that two sentences of different schemas do not share


def with_schema(dataset: Any) -> Any:
    """The docs with a column that docs of one schema share."""
    return dataset.add_column("schema", schemas(dataset.to_list()))


def schemas(docs: list[dict[str, Any]]) -> list[str]:
    """For each doc, the sentence of the first doc of its schema.

    The set has no ids of its schemas. Two docs are of one schema if they are neighbours with the same two options, or
    if some ``RUN`` characters in a row stand in both: twins with inflected options, and sentences that are asked about
    more than one pronoun, which do not always stand side by side. A schema too large costs nothing but a shot.
    """
    first = list(range(len(docs)))

    def find(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    def join(i: int, j: int) -> None:
        low, high = sorted((find(i), find(j)))
        first[high] = low

    seen: dict[str, int] = {}
    for i, doc in enumerate(docs):
        if i and options(doc) == options(docs[i - 1]):
            join(i, i - 1)
        for part in doc["sentence"].split("_"):
            for start in range(len(part) - RUN + 1):
                join(i, seen.setdefault(part[start : start + RUN], i))
    return [docs[find(i)]["sentence"] for i in range(len(docs))]


def options(doc: dict[str, Any]) -> frozenset[str]:
    """The two fillings, whichever comes first."""
    return frozenset(doc[name].strip().lower() for name in ("option1", "option2"))


def rest(doc: dict[str, Any]) -> str:
    """What is scored: the words after the blank, or the full stop that some copies lack after a final blank."""
    return rest_as_written(doc).strip()


def rest_as_written(doc: dict[str, Any]) -> str:
    """The same, with the space before it if there is one."""
    return doc["sentence"].partition("_")[2].rstrip() or "."
