from __future__ import annotations

import pytest

from harness.score.execution import toolchains
from tests.score.execution import published

pytestmark = pytest.mark.skipif(
    not published.SHARED.is_dir(), reason="the published outputs are not beside the project (../shared/data)"
)


def test_humaneval_verdicts_are_the_published_ones() -> None:
    chosen = published.rows(f"evalplus_humaneval__{published.MODEL}")[::8]
    for agreement in published.check_evalplus("humaneval", chosen):
        assert agreement.differ == ()


def test_mbpp_verdicts_are_the_published_ones() -> None:
    chosen = published.rows(f"evalplus_mbpp__{published.MODEL}")[::10]
    for agreement in published.check_evalplus("mbpp", chosen):
        assert agreement.differ == ()


@pytest.mark.parametrize("language", published.LANGUAGES)
def test_multipl_e_verdicts_are_the_published_ones(language: str) -> None:
    if toolchains.find(language).missing:
        pytest.skip(f"the tools of {language} are not installed: make toolchains")
    chosen = [row for row in published.rows(f"multipl_e_base__{published.MODEL}") if row["task"] == language][3::20]
    assert published.check_multipl_e(chosen).differ == ()


def test_programs_are_assembled_as_published() -> None:
    for row in published.rows(f"multipl_e_base__{published.MODEL}"):
        program = published.program(row)
        ours = (program.source + program.tests).strip()
        assert ours == row["program"].strip().removesuffix("?>").strip(), row["doc_id"]
