"""Few-shots and extraction of GSM8K."""

import hashlib
import re
from typing import Any

from harness.plan.borrowed import lm_eval_yaml
from harness.score.extract import Rule, filter_by, number

# Qwen's exemplars, found by the hash of the question: row orders differ between copies of the data set.
QWEN_SHOTS = (
    "d97272d2652ff205",
    "d9655201db60eabf",
    "9ecbe4ab23b0051f",
    "9e72bae569796cdf",
    "17ce48ef200c6aff",
    "0326094058f9ca38",
    "dbd9ea0def142666",
    "22f45bbd4a6f44e7",
)
NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+"

STOPS = ("\n\nQuestion", "\nQ:")  # what follows is the model's own next question

last_number = filter_by([Rule("last_number", NUMBER, "last")], number, STOPS)
the_answer_is = filter_by([Rule("the_answer_is", rf"The answer is ({NUMBER})")], number, STOPS)
answer_line = filter_by([Rule("answer_line", rf"(?m)^A: *({NUMBER})", "last")], number, STOPS)


def qwen_shots(dataset: Any) -> list[dict[str, Any]]:
    """The train rows that Qwen shows; of sample docs, which have none of them, the first rows."""
    wanted = set(QWEN_SHOTS)
    found = {}
    for doc in dataset:
        key = hashlib.sha256(doc["question"].strip().encode()).hexdigest()[:16]
        if key in wanted:
            found[key] = doc
    docs = [found[key] for key in QWEN_SHOTS if key in found] or list(dataset.select(range(min(8, len(dataset)))))
    return [{"question": doc["question"], "answer": doc["answer"], "chain": chain(doc["answer"])} for doc in docs]


def wei_shots() -> list[dict[str, Any]]:
    """The worked examples of lm-eval's own chain-of-thought task."""
    samples = lm_eval_yaml("gsm8k/gsm8k-cot.yaml")["fewshot_config"]["samples"]
    return [{"question": s["question"], "answer": "#### 0", "chain": s["target"]} for s in samples]


def chain(answer: str) -> str:
    """A solution without calculator marks, ending in a sentence instead of ``#### N``."""
    steps, _, value = re.sub(r"<<.*?>>", "", answer).partition("####")
    return f"{steps.rstrip()}\nThe answer is {value.strip()}"


def target(doc: dict[str, Any]) -> str:
    """A shot's whole solution; of an asked doc, its number."""
    return doc["chain"] if "chain" in doc else number(doc["answer"].split("####")[-1])
