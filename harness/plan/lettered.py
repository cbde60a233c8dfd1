"""Questions with choices for models that return no log-likelihoods: the choices get letters, and one is written.

A question that has letters already (MMLU) keeps its prompt. One whose choices are text gets them listed below it, in an
order drawn by (seed, task, question), since some data sets put the right one first. What the question is there, where
the task's own ``doc_to_text`` will not do, its metadata says: ``lettered: {question: …, choices: …, gold: …}``, each a
template of the doc.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.shots import stream
from harness.score.extract import Extracted, Rule, extract

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_TOKENS = 32
CHAT = {"until": [], "max_gen_toks": 256}
CUE = "Answer:"
ENDS = ["<|endoftext|>", "<|im_end|>"]
# what the generated form takes over from the task's config
KEPT: tuple[str, ...] = (
    "task",
    "dataset_path",
    "dataset_name",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
)
KEPT += ("process_docs", "num_fewshot", "description", "fewshot_delimiter")


@dataclass(frozen=True)
class Question:
    """A question with lettered choices."""

    text: str
    """The prompt up to where the letter stands."""
    choices: tuple[str, ...]
    """The choices' texts in the order of their letters; the letters themselves where the prompt has them."""
    gold: str
    """The right letter."""
    target: str
    """How a few-shot doc answers."""


def lettered(task: Any, seed: int) -> Any:
    """The task in its generated form; the task itself where it generates already."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return task
    from lm_eval.api.task import ConfigurableTask

    @functools.lru_cache(maxsize=4)
    def read(key: str) -> Question:
        return ask(task, json.loads(key), seed)

    def question(doc: dict[str, Any]) -> Question:
        return read(json.dumps(doc, default=str))

    class LetteredTask(ConfigurableTask):  # type: ignore[misc]
        """The task's docs, asked for a letter."""

        lettered = True

        def download(self, *_: Any, **__: Any) -> None:
            self.dataset = task.dataset

    own = task.config
    fewshot = {key: getattr(task.fewshot_cfg, key) for key in ("sampler", "split", "samples", "process_docs")}
    config = {
        **{key: getattr(own, key) for key in KEPT},
        "target_delimiter": " " if _listed(task) else own.target_delimiter,
        "fewshot_config": fewshot,
        "metadata": {**(own.metadata or {}), "chat": CHAT},
        "output_type": "generate_until",
        "doc_to_text": lambda doc: question(doc).text,
        "doc_to_target": lambda doc: question(doc).target,
        "generation_kwargs": {"until": ["\n", *ENDS], "max_gen_toks": MAX_TOKENS, "do_sample": False},
        "filter_list": [
            {
                "name": "letter",
                "filter": [{"function": "custom", "filter_fn": _letters(question)}, {"function": "take_first"}],
            }
        ],
        "process_results": lambda doc, results: {"acc": float(results[0] == question(doc).gold)},
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    return LetteredTask(config=config)


def ask(task: Any, doc: dict[str, Any], seed: int) -> Question:
    """The lettered question of a doc."""
    spec = (task.config.metadata or {}).get("lettered", {})
    choices = _listing(_rendered(task, doc, spec["choices"])) if "choices" in spec else list(task.doc_to_choice(doc))
    gold = int(_rendered(task, doc, spec["gold"])) if "gold" in spec else _gold(task, doc, choices)
    text = str(_rendered(task, doc, spec["question"])) if "question" in spec else str(task.doc_to_text(doc))
    if not _listed(task):
        letters = tuple(bare(choice) for choice in choices)
        return Question(text, letters, letters[gold], choices[gold])
    order = list(range(len(choices)))
    stream(seed, task.task_name, f"{text}\0{json.dumps(choices)}").shuffle(order)
    shown = [choices[i].strip() for i in order]
    lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, shown, strict=False)]
    right = LETTERS[order.index(gold)]
    return Question("\n".join([text.strip(), *lines, CUE]), tuple(shown), right, right)


def bare(choice: str) -> str:
    """A lettered choice without its spaces and brackets."""
    return choice.strip().strip("()")


def _listed(task: Any) -> bool:
    """Whether the choices are text that must be listed: not where they are letters that the prompt lists."""
    declared = task.config.doc_to_choice
    if isinstance(declared, list):
        return not all(re.fullmatch(r"[A-Z]", bare(choice)) for choice in declared)
    first = next(iter(task.task_docs), None)
    return first is None or not all(re.fullmatch(r"[A-Z]", bare(choice)) for choice in task.doc_to_choice(first))


def _gold(task: Any, doc: dict[str, Any], choices: Sequence[str]) -> int:
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    return gold if isinstance(gold, int) else list(choices).index(gold)


def _rendered(task: Any, doc: dict[str, Any], template: str) -> str:
    from lm_eval.utils import apply_template

    return str(apply_template(template, doc))


def _listing(text: str) -> list[str]:
    """A list that a template wrote as JSON (``{{choices | tojson}}``)."""
    return [str(item) for item in json.loads(text)]


@functools.cache
def rules(last: str) -> tuple[Rule, Rule, Rule]:
    """How one of the letters A to ``last`` is found: at the start; after "the answer is"; standing alone."""
    # an article or a pronoun is no answer: "A" or "I" before a small letter
    one = rf"(?![AI]\s+[a-z])([A-{last}])(?![\w'’])"
    return (
        Rule("leading_letter", rf"^\s*[(\[*_]*{one}"),
        Rule("answer_is", rf"(?i:answer(?:\s+is)?|答案(?:是|为)?)\s*(?:[:：]\s*)?[(\[*_]*{one}"),
        Rule("lone_letter", rf"(?<![\w'’]){one}", "last"),
    )


def _are_letters(choices: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[A-Z]", choice) for choice in choices)


def _letters(question: Callable[[dict[str, Any]], Question]) -> Callable[[Any, Any], list[list[Extracted]]]:
    def apply(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
        asked = [question(doc) for doc in docs]
        return [[letter(text, q.choices) for text in texts] for texts, q in zip(resps, asked, strict=True)]

    return apply


def letter(text: str, choices: Sequence[str]) -> Extracted:
    """The letter that an answer names, and the rule that found it.

    A choice's own text, said instead of its letter, counts after the first two rules.
    """
    listed = not _are_letters(choices)
    leading, stated, lone = rules(LETTERS[len(choices) - 1] if listed else max(choices))
    found = extract(text, (leading, stated))
    if found.rule is None and listed:
        said = _plain(text)
        same = [i for i, choice in enumerate(choices) if _plain(choice) == said]
        if len(same) == 1:
            return Extracted(LETTERS[same[0]], "choice_text", text)
    return found if found.rule is not None else extract(text, (lone,))


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()
