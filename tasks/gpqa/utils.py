"""Options, shots and extraction of GPQA."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.plan.borrowed import lm_eval_yaml
from harness.plan.shots import stream
from harness.score.extract import Rule, filter_by

REPOSITORY = "Idavidrein/gpqa"
WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
Load = Callable[[str, str], Any]

letter = filter_by(
    [
        Rule("correct_answer_is", r"correct answer is:? ?\(?([A-D])\b"),
        Rule("answer_is", r"answer is:? ?\(?([A-D])\b"),
        Rule("last_bracketed", r"\(([A-D])\)", "last"),
    ],
    stops=("Question:",),
)


def asked(dataset: Any, *, order_seed: int = 0) -> Any:
    """The docs with their options in order, and with lm-eval's header."""
    header = lm_eval_yaml("gpqa/n_shot/_gpqa_n_shot_yaml")["description"]
    docs = [ordered(doc, order_seed) for doc in dataset]
    for column in ("question", "options", "answer"):
        dataset = dataset.add_column(column, [doc[column] for doc in docs])
    return dataset.add_column("header", [header] * len(docs))


def ordered(doc: dict[str, Any], seed: int) -> dict[str, Any]:
    """Question, options and letter; the order depends on the seed and the doc's id alone, wherever the doc appears."""
    options = [doc["Correct Answer"], *(doc[name] for name in WRONG)]
    order = list(range(4))
    stream(seed, "gpqa", doc["Record ID"]).shuffle(order)
    return {
        "question": doc["Question"].strip(),
        "options": [options[i].strip() for i in order],
        "answer": "ABCD"[order.index(0)],
        "explanation": (doc["Explanation"] or "").strip(),
    }


def shots(*, exemplars: str = "own", order_seed: int = 0, load: Load | None = None) -> list[dict[str, Any]]:
    """Worked examples: the project's own, or the main set's docs that are not in Diamond, with their explanations."""
    if exemplars == "own":
        lines = (Path(__file__).parent / "shots.jsonl").read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        return [{**row, "options": row["choices"]} for row in rows]
    if load is None:  # in lm-eval itself
        from datasets import load_dataset as load
    diamond = {doc["Question"].strip() for doc in load(REPOSITORY, "gpqa_diamond")["train"]}
    docs = [ordered(doc, order_seed) for doc in load(REPOSITORY, "gpqa_main")["train"]]
    return [doc for doc in docs if doc["question"] not in diamond and doc["explanation"]]


def worked(doc: dict[str, Any]) -> str:
    """A shot's explanation and the sentence that names its letter; of an asked doc, the letter."""
    return f"{doc['explanation']}\nThe correct answer is ({doc['answer']})" if "explanation" in doc else doc["answer"]
