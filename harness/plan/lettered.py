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
KEPT = (
    "task", "dataset_path", "dataset_name", "training_split", "validation_split", "test_split", "fewshot_split",
    "process_docs", "num_fewshot", "description", "fewshot_delimiter",
)  # fmt: skip
"""What the generated form takes over from the task's config."""
WORD = "answer|antwort|respuesta|réponse|resposta|risposta|ответ|정답|解答|答案|คำตอบ|đáp án|jawaban|الإجابة"
IS = "is|ist|est|es|è|é|là|adalah|是|为|は|은|는|คือ|هي"


@dataclass(frozen=True)
class Question:
    """A question with lettered choices."""

    text: str
    """The prompt up to where the letter stands."""
    labels: tuple[str, ...]
    """The choices' letters."""
    choices: tuple[str, ...]
    """Their texts, in the order of the letters, where this form lists them; none where the prompt itself does."""
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


def has_letters(task: Any) -> bool:
    """Whether a task's answers are the letters of choices that its prompt lists: one token tells them apart."""
    if task.OUTPUT_TYPE != "multiple_choice" or task.multiple_input or _listed(task):
        return False
    first = next(iter(task.task_docs), None)
    return first is not None and all(re.fullmatch(r"[A-Z]", bare(choice)) for choice in task.doc_to_choice(first))


def ask(task: Any, doc: dict[str, Any], seed: int) -> Question:
    """The lettered question of a doc."""
    spec = (task.config.metadata or {}).get("lettered", {})
    choices = _listing(_rendered(task, doc, spec["choices"])) if "choices" in spec else list(task.doc_to_choice(doc))
    gold = int(_rendered(task, doc, spec["gold"])) if "gold" in spec else _gold(task, doc, choices)
    text = str(_rendered(task, doc, spec["question"])) if "question" in spec else str(task.doc_to_text(doc))
    if not _listed(task):
        labels = tuple(bare(choice) for choice in choices)
        return Question(text, labels, (), labels[gold], choices[gold])
    order = list(range(len(choices)))
    stream(seed, task.task_name, f"{text}\0{json.dumps(choices)}").shuffle(order)
    shown = tuple(choices[i].strip() for i in order)
    labels = tuple(LETTERS[: len(shown)])
    lines = [f"{label}. {choice}" for label, choice in zip(labels, shown, strict=True)]
    right = labels[order.index(gold)]
    return Question("\n".join([text.strip(), *lines, CUE]), labels, shown, right, right)


def bare(choice: str) -> str:
    """A lettered choice without its spaces and brackets."""
    return choice.strip().strip("()")


def _listed(task: Any) -> bool:
    """Whether the choices are text that must be listed: not where they are the labels of a list in the prompt.

    Labels are letters, or, where the task's metadata says ``lettered: {labels: true}``, whatever the choices are.
    """
    if (task.config.metadata or {}).get("lettered", {}).get("labels"):
        return False
    declared = task.config.doc_to_choice
    if not isinstance(declared, list):
        first = next(iter(task.task_docs), None)
        declared = [] if first is None else task.doc_to_choice(first)
    return not declared or not all(re.fullmatch(r"[A-Z]", bare(choice)) for choice in declared)


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
def rules(labels: tuple[str, ...]) -> tuple[Rule, Rule, Rule]:
    """How one of the labels is found: after "the answer is" in many languages; at the start; standing alone."""
    # letters of these alphabets make a word of what stands beside them; Chinese, Japanese, Korean and Thai do not
    beside = "A-Za-z0-9_'’À-ɏЀ-ӿ"
    # an article or a pronoun is no answer: "A" or "I" before a word, unless that word is a form of "to be"
    article = r"(?![AI]\s+(?!(?:is|ist|est|es|è|é)\b)[a-zà-ÿ])"
    one = rf"{article}([{''.join(map(re.escape, labels))}])(?![{beside}])"
    return (
        Rule("answer_is", rf"(?i:{WORD})(?:\s*(?:{IS}))?\s*(?:[:：]\s*)?[(\[*_]*{one}"),
        Rule("leading_letter", rf"^\s*[(\[*_]*{one}"),
        Rule("lone_letter", rf"(?<![{beside}]){one}", "last"),
    )


def _letters(question: Callable[[dict[str, Any]], Question]) -> Callable[[Any, Any], list[list[Extracted]]]:
    def apply(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[Extracted]]:
        asked = [question(doc) for doc in docs]
        return [[letter(text, q.labels, q.choices) for text in texts] for texts, q in zip(resps, asked, strict=True)]

    return apply


def letter(text: str, labels: Sequence[str], choices: Sequence[str] = ()) -> Extracted:
    """The letter that an answer names, and the rule that found it.

    A choice's own text, said instead of its letter, counts after the first two rules.
    """
    stated, leading, lone = rules(tuple(labels))
    found = extract(text, (stated, leading))
    if found.rule is not None:
        return found
    said = _plain(text)
    same = [label for label, choice in zip(labels, choices, strict=False) if _plain(choice) == said]
    return Extracted(same[0], "choice_text", text) if len(same) == 1 else extract(text, (lone,))


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()
