"""Categories, header, extraction and the guess of MMLU-Pro."""

from collections.abc import Callable
from typing import Any

from harness.plan.borrowed import lm_eval_yaml
from harness.plan.shots import stream
from harness.score.extract import UNPARSED, Rule, filter_by

LETTERS = "ABCDEFGHIJ"
RULES = (
    Rule("answer_is", r"answer is \(?([A-J])\)?"),
    Rule("answer_colon", r"[aA]nswer:\s*([A-J])"),
    Rule("last_letter", r"\b[A-J]\b", "last"),
)
# what follows "Question:" is the model's own next question; the authors' script looked there as well
letter = filter_by(RULES, stops=("Question:",))
first_pattern = filter_by(RULES[:1])
two_patterns = filter_by(RULES[:2])
three_patterns = filter_by(RULES)


def of_category(category: str) -> Callable[[Any], Any]:
    """The docs of one category, with its header as a column."""

    def select(dataset: Any) -> Any:
        chosen = dataset.select([row for row, name in enumerate(dataset["category"]) if name == category])
        header = lm_eval_yaml(f"mmlu_pro/mmlu_pro_{category.replace(' ', '_')}.yaml")["description"]
        return chosen.add_column("header", [header] * len(chosen))

    return select


biology = of_category("biology")
business = of_category("business")
chemistry = of_category("chemistry")
computer_science = of_category("computer science")
economics = of_category("economics")
engineering = of_category("engineering")
health = of_category("health")
history = of_category("history")
law = of_category("law")
math = of_category("math")
other = of_category("other")
philosophy = of_category("philosophy")
physics = of_category("physics")
psychology = of_category("psychology")


def chain(doc: dict[str, Any]) -> str:
    """A shot's chain of thought, without the words that end each question."""
    return str(doc["cot_content"]).removeprefix("A: Let's think step by step.").strip()


def verdicts(doc: dict[str, Any], results: list[str], *, guess_seed: int = 0) -> dict[str, float]:
    """What an answer is worth when one without a letter is wrong, a seeded guess, or worth its chance."""
    letter = results[0]
    if letter != UNPARSED:
        right = float(letter == doc["answer"])
        return {"acc_none": right, "acc_seeded": right, "acc_expected": right}
    seeded = float(guess(doc, guess_seed) == doc["answer"])
    return {"acc_none": 0.0, "acc_seeded": seeded, "acc_expected": 1 / len(doc["options"])}


def guess(doc: dict[str, Any], seed: int) -> str:
    """One of the doc's own letters, drawn by the seed and the doc's id alone."""
    drawn = stream(seed, "mmlu_pro", str(doc["question_id"])).randrange(len(doc["options"]))
    return LETTERS[drawn]
