"""Pairs, prompts and scores of Flores-101."""

from collections.abc import Callable
from typing import Any

from harness.score.corpus import bleu_counts, bleu_signature, corpus_bleu
from harness.score.extract import UNPARSED, Rule, filter_by

__all__ = ["corpus_bleu"]

REPOSITORY = "gsarti/flores_101"
CONVERTED = "refs/convert/parquet"  # the repository itself holds a script, which no longer loads
Load = Callable[[str, str], Any]

# language -> its config in the data set, and its name in prompts
LANGUAGES = {
    "ar": ("ara", "Arabic"),
    "de": ("deu", "German"),
    "en": ("eng", "English"),
    "es": ("spa", "Spanish"),
    "fr": ("fra", "French"),
    "id": ("ind", "Indonesian"),
    "it": ("ita", "Italian"),
    "ja": ("jpn", "Japanese"),
    "ko": ("kor", "Korean"),
    "pt": ("por", "Portuguese"),
    "ru": ("rus", "Russian"),
    "th": ("tha", "Thai"),
    "vi": ("vie", "Vietnamese"),
    "zh": ("zho_simpl", "Chinese"),
}
# by choice, the languages whose words the tokenizer 13a does not part; sacrebleu has none for Thai
TOKENIZERS = {
    "language": {"zh": "zh", "ja": "char", "th": "char"},
    "mecab": {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab", "th": "char"},
    "spm": dict.fromkeys(LANGUAGES, "flores101"),
}

line = filter_by([Rule("first_line", r"\S[^\n]*")])


def pairs(
    source: str,
    target: str,
    *,
    prompt: str = "names",
    tokenizer: str = "language",
    load: Load | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Both splits of one direction: the sentences of two languages, joined by their ids."""
    from datasets import Dataset

    # all of a choice are there or none of its directions runs: a mean over fewer languages is another benchmark
    signatures = {name: bleu_signature(name) for name in ("13a", *TOKENIZERS[tokenizer].values())}
    chosen = TOKENIZERS[tokenizer].get(target, "13a")
    shared = {"header": header(source, target, prompt), "tokenizer": chosen, "signature": signatures[chosen]}
    ours, theirs = ((load or hub)(REPOSITORY, LANGUAGES[language][0]) for language in (source, target))
    labels = [LANGUAGES[language][1] if prompt == "names" else language for language in (source, target)]
    made = {}
    for split in ("dev", "devtest"):
        translations = dict(zip(theirs[split]["id"], theirs[split]["sentence"], strict=True))
        made[split] = Dataset.from_list(
            [
                {
                    "id": doc["id"],
                    "text": f"{labels[0]}: {doc['sentence'].strip()}\n{labels[1]}:",
                    "translation": translations[doc["id"]].strip(),
                    **shared,
                }
                for doc in ours[split]
            ]
        )
    return made


def hub(repo: str, config: str) -> Any:
    """The data in lm-eval itself: the hub's own conversion."""
    from datasets import load_dataset

    files = {split: f"{config}/{split}/*.parquet" for split in ("dev", "devtest")}
    return load_dataset(repo, data_files=files, revision=CONVERTED)


def header(source: str, target: str, prompt: str) -> str:
    """What stands before the shots."""
    if prompt == "codes":
        return ""
    return f"Translate each sentence from {LANGUAGES[source][1]} into {LANGUAGES[target][1]}.\n\n"


def verdicts(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """What BLEU counts in one sentence; an empty answer is an empty translation."""
    found = "" if results[0] == UNPARSED else results[0]
    return {"bleu": bleu_counts(found, doc["translation"], doc["tokenizer"])}
