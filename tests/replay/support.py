"""Small foreign files of our own making."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.replay.importing import import_files

Rows = Sequence[dict[str, Any]]

MMLU_PRO = [
    {"doc_id": "7", "task": "computer science", "output": " The answer is (B).\n\nQuestion:\nMore?\nThe answer is (A).",
     "extracted": "B", "target": "B", "correct": True, "n_options": 4},
    {"doc_id": "8", "task": "law", "output": " Hm.\n\nAnswer: C", "extracted": None, "target": "C", "correct": False,
     "n_options": 10},
    {"doc_id": "9", "task": "law", "output": " \ud800 Who knows", "extracted": None, "target": "A", "correct": False,
     "n_options": 10},
]  # fmt: skip
BBH = [
    {"doc_id": "navigate/3", "task": "navigate", "prompt": "Back at the door?", "output": "So the answer is Yes.",
     "extracted": "Yes", "target": "Yes", "correct": True},
    {"doc_id": "word_sorting/0", "task": "word_sorting", "prompt": "pen ink?", "output": "So the answer is pen ink.",
     "extracted": "pen ink", "target": "ink pen", "correct": False},
]  # fmt: skip
GSM8K = [
    {"doc_id": "test/5", "task": "gsm8k", "prompt": "Ana has 3 jars of 4 plums. How many plums?",
     "output": "3*4=<<3*4=12>>12\nA: 12.0", "extracted": "12.0", "target": "12", "correct": True},
    {"doc_id": "test/6", "task": "gsm8k", "prompt": "Half of 9?", "output": "A: 4", "extracted": "4", "target": "4.5",
     "correct": False},
]  # fmt: skip
MATH = [
    {"doc_id": f"0#{k}", "task": "Level 2", "prompt": "Halve $x$.", "output": text, "extracted": None,
     "target": "\\frac{x}{2}", "correct": right}
    for k, (text, right) in enumerate([("$\\boxed{\\frac{x}{2}}$", True), ("$\\boxed{2x}$", False)])
]  # fmt: skip
THEOREMQA = [
    {"doc_id": "someone/sum.json", "index": 4, "task": "integer", "prompt": "1 + 1?", "output": "The answer is 2.",
     "extracted": "2", "target": ["2", 2], "correct": True, "boolean_taken_as_number": False},
    {"doc_id": "someone/zero.json", "index": 5, "task": "integer", "prompt": "1 - 1?", "output": "The answer is no.",
     "extracted": "False", "target": ["0", 0], "correct": True, "boolean_taken_as_number": True},
]  # fmt: skip
HUMANEVAL = [
    {"doc_id": "HumanEval/0", "task": "humaneval", "prompt": 'def twice(n):\n    """ Double it. """\n', "output": body,
     "extracted": None, "target": None, "correct": right, "base": right, "plus": right, "entry_point": "twice",
     "tests": "def check(candidate):\n    assert candidate(4) == 8\n\ncheck(twice)\n"}
    for body, right in [("    return 2 * n\n", True)]
]  # fmt: skip
MBPP = [
    {"doc_id": f"Mbpp/{k}", "task": "mbpp", "prompt": '"""\nAdd.\nassert add(1, 2) == 3\n"""\n', "output": code,
     "target": None, "extracted": None, "correct": plus, "base": base, "plus": plus, "entry_point": "add",
     "tests": "assert add(1, 2) == 3\n", "atol": 0, "base_input": [[1, 2]], "plus_input": [[-1, -2]],
     "canonical_solution": "\ndef add(a, b):\n    return a + b\n"}
    for k, (code, base, plus) in enumerate(
        [("def add(a, b):\n    return a + b", True, True), ("def add(a, b):\n    return abs(a + b)", True, False)]
    )
]  # fmt: skip
SH = [
    {"doc_id": "sh/HumanEval_900_greet", "task": "sh", "prompt": "#!/bin/bash\n# Say hello to $1\ngreet() {\n",
     "output": '    echo "hello $1"\n}\nrm -f x', "target": None, "extracted": None, "correct": True,
     "stop_tokens": ["\n}"], "environment_suspected": None,
     "tests": '}\ncandidate() {\n    greet "$@"\n}\nset -e\nrun_test() {\n    [[ $(candidate "Bo") = "hello Bo" ]]\n}\n'
              "run_test\n"}
]  # fmt: skip


def write(folder: Path, name: str, rows: Rows, index: dict[str, Any] | None = None) -> Path:
    """A file of published outputs, with an index beside it if there is one."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jsonl.gz"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    if index is not None:
        (folder / "index.json").write_text(json.dumps({"files": [{"file": path.name, **index}]}))
    return path


def imported(folder: Path, *paths: Path, name: str = "foreign", **options: Any) -> Path:
    """The files as a run below a folder."""
    choices = [f"run.dir={folder / 'runs'}", *options.pop("overrides", ())]
    return import_files(paths, name, overrides=choices, **options)
