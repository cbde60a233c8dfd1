"""What a foreign file becomes: which benchmark's row, and how a sample's fields make the task's doc.

Docs have the columns of the benchmark's data set that its scorer reads; a column that a file leaves out is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.nearest import did_you_mean
from harness.replay import programs
from harness.replay.foreign import ForeignFile, Sample

SAMPLE_OF = "sample_of"
"""The column of docs that names the problem, where each was answered several times."""

MBPP_TODAY = 378
"""Problems of EvalPlus' MBPP since version 0.2.0; versions before had 399 and compared all answers as they are."""

Doc = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One benchmark that a foreign file is scored as."""

    benchmark: str
    """Its name here."""
    verdict: str
    """The published verdict that its metric is set beside."""
    task: Callable[[Sample], str]
    """The task that a sample belongs to."""
    doc: Callable[[Sample], Doc]
    """A sample's doc."""
    doc_id: Callable[[Sample], str] = lambda sample: sample.doc_id
    """The id that the doc has in the benchmark's data set."""
    whole: int | None = None
    """Docs of the whole set; None where nothing is said of it."""
    authors: tuple[str, ...] = ()
    """Protocol choices with which the benchmark's authors give verdicts, as overrides."""
    rivals: tuple[str, ...] = ()
    """The variants of their rules that authors have used, the likeliest first: overrides, joined by spaces."""
    question: str | None = None
    """The column of the data set that holds the question, to find docs by their text."""
    comparison: bool = False
    """Whether what the publisher extracted is also compared here, apart from our own extraction."""
    doubt: Callable[[Sample], str | None] = lambda sample: None
    """Why a published figure does not speak against a sample's verdict here, where the file itself does not say so."""


def rows_of(file: ForeignFile, benchmark: str | None = None) -> tuple[Row, ...]:
    """The rows of a foreign file; ``benchmark`` overrides its name.

    Raises:
        UserError: there is no benchmark for it.
    """
    name = benchmark or file.benchmark
    if file.format == "lm-eval samples":
        return (_of_lm_eval(file, benchmark),)
    known = _known(file)
    # a trailing number says how many rows a small file has
    plain = re.sub(r"_\d+$", "", name)
    for key in (name, plain):
        if key in known:
            return known[key]
    raise UserError(
        f"{file.path.name}: {plain or 'its benchmark'} has no benchmark here, so its outputs cannot be scored.",
        f"Name one that fits with --benchmark: {did_you_mean(plain, known) if plain else ', '.join(known)}",
    )


def _known(file: ForeignFile) -> dict[str, tuple[Row, ...]]:
    """Rows by the benchmark's name in files."""
    mmlu_pro = Row(
        "mmlu_pro", "correct", lambda s: f"mmlu_pro_cot_{s.part.replace(' ', '_')}", _mmlu_pro, whole=12032,
        authors=("mmlu_pro.guess=none",), question="question",
        rivals=tuple(f"mmlu_pro.extraction={n}" for n in ("letter", "first_pattern", "two_patterns", "three_patterns")),
    )  # fmt: skip
    bbh = Row(
        "bbh", "correct", lambda s: f"bbh_cot_{s.part}", lambda s: {"input": s.prompt, "target": _target(s)}, _last,
        whole=6511, rivals=("bbh.extraction=line", "bbh.extraction=rest"), question="input",
    )  # fmt: skip
    gsm8k = Row(
        "gsm8k", "correct", lambda s: "gsm8k_qwen_cot",
        lambda s: {"question": s.prompt, "answer": f"#### {_target(s)}"}, _last, whole=1319, question="question",
        rivals=tuple(f"gsm8k.extraction={name}" for name in ("flexible", "answer_line")),
    )  # fmt: skip
    math = Row(
        "math", "correct", lambda s: "math_minerva", _math, whole=5000, question="problem",
        rivals=(
            "math.extraction=last_box math.answer=either", "math.extraction=last_box math.answer=minerva",
            "math.extraction=final_answer math.answer=minerva",
        ),
    )  # fmt: skip
    theoremqa = Row(
        "theoremqa", "correct", lambda s: "theoremqa_all", _theoremqa, lambda s: str(s.fields.get("index", s.doc_id)),
        whole=800, authors=("theoremqa.integers=rounded",), question="Question", comparison=True,
    )  # fmt: skip
    return {
        **dict.fromkeys(("mmlu_pro", "mmlu_pro_cot"), (mmlu_pro,)),
        **dict.fromkeys(("bbh", "bbh_cot"), (bbh,)),
        "gsm8k": (gsm8k,),
        **dict.fromkeys(("math", "math_samples"), (math,)),
        "theoremqa": (theoremqa,),
        **{name: _plus("humaneval", file) for name in ("humaneval", "humaneval_plus", "evalplus_humaneval")},
        **{name: _plus("mbpp", file) for name in ("mbpp", "mbpp_plus", "evalplus_mbpp")},
        "multipl_e_base": (_multipl_e("base"),),
        "multipl_e_chat": (_multipl_e("chat"),),
    }


def _target(sample: Sample) -> str:
    target = sample.fields.get("target")
    if target is None:
        raise UserError(f"doc {sample.doc_id} has no target.", "Give the field, or the data set: --data-root DIR.")
    return str(target[0] if isinstance(target, list) else target)


def _last(sample: Sample) -> str:
    """Ids such as ``test/7`` hold the row number behind the slash."""
    return sample.doc_id.rpartition("/")[2]


def _mmlu_pro(sample: Sample) -> Doc:
    # ten options where the file does not say: the guess of an answer without a letter depends on them
    options = [""] * int(sample.fields.get("n_options") or 10)
    known = {"question_id": sample.doc_id, "question": sample.prompt, "options": options, "answer": _target(sample)}
    return {**known, "category": sample.part, "header": "", "cot_content": ""}


def _math(sample: Sample) -> Doc:
    solution = rf"\boxed{{{_target(sample)}}}"
    doc = {"problem": sample.prompt, "level": sample.part, "type": "", "solution": solution}
    name, mark, _ = sample.doc_id.partition("#")
    return {**doc, SAMPLE_OF: name} if mark else doc


def _theoremqa(sample: Sample) -> Doc:
    row = sample.fields.get("index", sample.doc_id)
    return {"Question": sample.prompt, "Answer": _target(sample), "Answer_type": sample.part, "row": row}


def _plus(name: str, file: ForeignFile) -> tuple[Row, ...]:
    """Base and plus rows: the plus row needs the inputs that EvalPlus added."""
    if name == "humaneval":
        task, whole, first = "humaneval_evalplus", 164, None
    else:
        problems = {sample.fields.get("doc_id", sample.doc_id) for sample in file.samples}
        early = len(problems) > MBPP_TODAY
        task, whole, first = ("mbpp_0.1.0", 399, "exact") if early else ("mbpp_0.2.0", MBPP_TODAY, "sets")

    def row(benchmark: str, verdict: str, task: str) -> Row:
        ways = sorted(("exact", "sets"), key=lambda way: way != first) if first else []
        rivals = tuple(f"{benchmark}.compare={way}" for way in ways)
        return Row(benchmark, verdict, lambda s: task, _checked, whole=whole, rivals=rivals)

    return row(name, "base", task), row(f"{name}_plus", "plus", f"{task}_plus")


def _checked(sample: Sample) -> Doc:
    fields = sample.fields
    doc: Doc = {"task_id": fields["doc_id"], "prompt": sample.prompt, "continues": not fields.get("whole", False)}
    doc |= {"tests": fields.get("tests") or "", "entry_point": fields.get("entry_point") or ""}
    if "base_input" in fields:
        # as JSON: of all types, which no column of a table holds
        inputs = {key: _json(fields[key]) for key in ("base_input", "plus_input", "atol")}
        doc |= {**inputs, "canonical_solution": fields["canonical_solution"]}
    return doc


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _multipl_e(form: str) -> Row:
    def doc(sample: Sample) -> Doc:
        known = {"name": _last(sample), "language": sample.part, "prompt": sample.prompt, "form": form}
        return {**known, "tests": sample.fields["tests"], "stop_tokens": list(sample.fields.get("stop_tokens") or [])}

    # the rule that the results of base models were published with asks for no sign that the tests have finished
    rivals = ("multipl_e.rule=finished", "multipl_e.rule=exit")

    def doubt(sample: Sample) -> str | None:
        if form != "chat":
            return None
        return programs.lacked(sample.part, str(sample.fields["output"] or ""), str(sample.fields["tests"]))

    return Row(
        "multipl_e", "correct", lambda s: programs.MULTIPL_E.get(s.part, s.part), doc, _last, whole=1280, rivals=rivals,
        doubt=doubt,
    )  # fmt: skip


def _of_lm_eval(file: ForeignFile, benchmark: str | None) -> Row:
    from harness.replay.tasks import benchmark_of

    if not file.benchmark and not benchmark:
        raise UserError(f"{file.path.name} does not name its task.", "Name it: --benchmark TASK.")
    name, task = benchmark_of(file.benchmark, benchmark)
    return Row(name, "", lambda s: task, lambda s: dict(s.fields["doc"]))
