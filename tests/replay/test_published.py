"""The publishers' verdicts on real outputs: whole files where nothing is run, a fixed sample of programs.

``make verify`` takes all of every file.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.replay import agreement
from harness.replay.agreement import Agreements
from harness.score.execution import toolchains
from tests.replay.support import imported
from tests.replay.verify import broken
from tests.tasks.conftest import mirror, published  # noqa: F401  # fixtures


def scored(file: Path, tmp_path: Path, step: int = 1, **options: object) -> list[Agreements]:
    """Every ``step``-th row of a file, imported and compared."""
    path = tmp_path / file.name
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[::step])))
    (tmp_path / "index.json").write_bytes((file.parent / "index.json").read_bytes())
    return agreement.of_run(imported(tmp_path, path, **options))


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [("mmlu_pro__Meta-Llama-3-70B", 52.01, 52.73), ("mmlu_pro__Mixtral-8x7B-v0.1", 39.88, 40.94)],
)
def test_mmlu_pro(name: str, wrong: float, expected: float, published: Path, tmp_path: Path) -> None:  # noqa: F811
    (found,) = scored(published / f"{name}.jsonl.gz", tmp_path)
    assert broken(found) == []
    assert found.whole.share == 1.0
    assert round(found.whole.ours, 2) == wrong
    assert round(found.others["acc_expected"], 2) == expected


@pytest.mark.parametrize(
    "name",
    ["bbh_cot__code-davinci-002", "gsm8k__6b-finetuning", "gsm8k__6b-verification", "gsm8k_10__qwen-plus",
     "math_samples__qwen2.5-math", "theoremqa__mistral-7b-v0.1"],
)  # fmt: skip
def test_text(name: str, published: Path, tmp_path: Path) -> None:  # noqa: F811
    (found,) = scored(published / f"{name}.jsonl.gz", tmp_path)
    assert broken(found) == []
    assert found.whole.compared > 0


def test_the_truth_values_taken_for_numbers_are_set_apart(published: Path, tmp_path: Path) -> None:  # noqa: F811
    (found,) = scored(published / "theoremqa__mistral-7b-v0.1.jsonl.gz", tmp_path)
    assert found.whole.flagged == 5
    assert set(found.differ.loc[found.differ["flag"].notna(), "extracted_published"]) <= {"True", "False"}


@pytest.mark.parametrize(("name", "step"), [("humaneval", 8), ("mbpp", 12)])
def test_evalplus(name: str, step: int, published: Path, mirror: Path, tmp_path: Path) -> None:  # noqa: F811
    file = published / f"evalplus_{name}__qwen2.5-coder-1.5b-base.jsonl.gz"
    # the inputs of HumanEval+ are in the data set alone
    root = mirror if name == "humaneval" else None
    for found in scored(file, tmp_path, step, data_root=root):
        assert found.whole.share == 1.0, list(found.differ["doc_id"])


@pytest.mark.parametrize("kind", ["base", "chat"])
def test_multipl_e(kind: str, published: Path, tmp_path: Path) -> None:  # noqa: F811
    languages = ("cpp", "cs", "java", "js", "php", "sh", "ts")
    missing = [language for language in languages if toolchains.find(language).missing]
    if missing:
        pytest.skip(f"the tools of {', '.join(missing)} are not installed: make toolchains")
    model = {"base": "qwen2.5-coder-1.5b-base", "chat": "qwen2-72b"}[kind]
    (found,) = scored(published / f"multipl_e_{kind}__{model}.jsonl.gz", tmp_path, 29)
    assert found.whole.compared == 0 or found.whole.share == 1.0, list(found.differ["doc_id"])
    assert len(found.parts) >= 7
    # a sample of a chat model's programs: about as many pass as were published to pass
    assert found.whole.theirs is not None
    assert abs(found.whole.ours - found.whole.theirs) < 15


def test_a_benchmark_that_is_not_here_is_named(published: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match="ifeval has no benchmark here"):
        imported(tmp_path, published / "ifeval_10__qwen-plus.jsonl.gz")
