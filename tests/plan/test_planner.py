import pytest

from harness.errors import MissingError, UserError
from harness.plan import Benchmark, Generate, Plan, Score, Settings, Source, make_plan
from harness.plan.planner import _spread

MMLU = Benchmark("mmlu", "MMLU", ("mmlu_question",), 5, "acc", None)
GSM8K = Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible")


def plan(*benchmarks: Benchmark, settings: Settings | None = None, named: bool = True) -> Plan:
    return make_plan(benchmarks, Source("sample"), settings or Settings(), strict=False, named=named)


def test_one_score_request_a_question_with_all_its_choices() -> None:
    (bench,) = plan(MMLU).benchmarks
    doc = bench.tasks[0].docs[0]
    (request,) = doc.requests
    assert isinstance(request, Score)
    assert request.continuations == (" A", " B", " C", " D")
    assert doc.slots == ((0, 0), (0, 1), (0, 2), (0, 3))
    assert bench.sample_data
    assert not bench.complete
    assert "mmlu_question_virology" in bench.absent


def test_generation_takes_the_tasks_stops_and_limit() -> None:
    (bench,) = plan(GSM8K).benchmarks
    request = next(bench.requests)
    assert isinstance(request, Generate)
    assert "\n\nQuestion" in request.stop
    assert request.max_tokens == 512
    assert request.sampling.greedy


def test_generation_keys_override_the_task() -> None:
    settings = Settings(generation={"max_tokens": 9, "temperature": 0.5, "top_p": 0.9})
    requests = [r for r in plan(GSM8K, settings=settings).requests if isinstance(r, Generate)]
    assert {r.max_tokens for r in requests} == {9}
    assert {r.sampling.temperature for r in requests} == {0.5}
    assert len({r.sampling.seed for r in requests}) == len(requests)


def test_same_config_same_bytes() -> None:
    first, second = ("".join(plan(MMLU, GSM8K).lines()) for _ in range(2))
    assert first == second
    assert plan(MMLU, settings=Settings(sampler="seeded")).sha256 != plan(MMLU).sha256
    drawn = [plan(MMLU, settings=Settings(sampler="seeded", seed=s)).sha256 for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_subset_asks_the_same_of_its_docs() -> None:
    settings = Settings(sampler="seeded", seed=3)
    whole = set(plan(MMLU, settings=settings).lines())
    part = set(plan(MMLU, settings=Settings(limit=8, sampler="seeded", seed=3)).lines())
    assert len(part) == 8
    assert part < whole


def test_limit_is_dealt_evenly() -> None:
    assert _spread([10, 1, 10], 7) == [3, 1, 3]
    assert _spread([2, 2], None) == [2, 2]
    assert _spread([2, 2], 99) == [2, 2]
    assert [len(t.docs) for t in plan(MMLU, settings=Settings(limit=8)).benchmarks[0].tasks] == [2, 2, 1, 1, 1, 1]


def test_missing_data_is_a_dash_in_a_suite_and_an_error_by_name() -> None:
    absent = Benchmark("boolq", "BoolQ", ("boolq",), 0, None, None)
    made = plan(MMLU, absent, named=False)
    assert [b.benchmark.name for b in made.benchmarks] == ["mmlu"]
    assert "no sample docs" in made.skipped["boolq"]
    with pytest.raises(MissingError):
        plan(absent)
    with pytest.raises(MissingError):
        make_plan([absent], Source("sample"), Settings(), strict=True, named=False)


def test_too_many_shots_name_the_key() -> None:
    many = Benchmark("mmlu", "MMLU", ("mmlu_question",), 7, "acc", None)
    with pytest.raises(UserError, match=r"shots\.mmlu: 7 shots .* has 5 docs"):
        plan(many, named=False)
