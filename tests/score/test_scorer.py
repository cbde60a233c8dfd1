"""Verdicts and averages, checked against lm-eval's own evaluator on the same prompts and answers."""

from __future__ import annotations

from typing import Any

import pytest

from harness.backends.base import Generated, Response, Scored
from harness.errors import UserError
from harness.plan import Benchmark, Plan, Score, Settings, Source, library, make_plan
from harness.score.scorer import score_plan
from harness.score.summary import summarise
from tests.conftest import rule_answer

MMLU = Benchmark("mmlu", "MMLU", ("mmlu_question",), 5, "acc", None)
HELLASWAG = Benchmark("hellaswag", "HellaSwag", ("hellaswag_text",), 10, "acc_norm", None)
GSM8K = Benchmark("gsm8k", "GSM8K", ("gsm8k_qwen_cot",), 4, "exact_match", "flexible")
C_EVAL = Benchmark("c_eval", "C-Eval", ("c_eval_val",), 5, "acc", None, "macro")


def planned(*benchmarks: Benchmark) -> Plan:
    return make_plan(benchmarks, Source("sample"), Settings(), strict=True, named=True)


def answered(plan: Plan) -> dict[str, Response]:
    return {request.hash: rule_answer(request) for request in plan.requests}


def by_lm_eval(benchmark: Benchmark) -> dict[str, Any]:
    """lm-eval's evaluator over the same tasks, with a model that answers by the same rule."""
    from lm_eval import evaluator
    from lm_eval.api.model import LM

    class RuleModel(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            together: dict[str, list[str]] = {}
            for request in requests:
                together.setdefault(request.args[0], []).append(request.args[1])
            answers = {}
            for context, texts in together.items():
                response = rule_answer(Score("", context, tuple(texts)))
                assert isinstance(response, Scored)
                answers |= {(context, t): (ll, False) for t, ll in zip(texts, response.logprobs, strict=True)}
            return [answers[request.args] for request in requests]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise AssertionError("not asked for")

        def generate_until(self, requests: list[Any]) -> list[str]:
            texts = []
            for request in requests:
                response = responses[request.args[0]]
                assert isinstance(response, Generated)
                texts.append(response.text)
            return texts

    plan = planned(benchmark)
    responses = {r.context: rule_answer(r) for r in plan.requests}
    source = Source("sample")
    tasks = {}
    for bench in plan.benchmarks:
        for own in bench.tasks:
            (config,) = [c for n in benchmark.tasks for c in library.leaf_configs(n) if c["task"] == own.name]
            tasks[own.name] = library.build(config, source)
            tasks[own.name].set_config("num_fewshot", benchmark.shots)
    results = evaluator.evaluate(RuleModel(), tasks, bootstrap_iters=1)
    return dict(results["results"])


@pytest.mark.parametrize("benchmark", [MMLU, HELLASWAG, GSM8K, C_EVAL], ids=lambda b: str(b.name))
def test_scores_equal_lm_evals(benchmark: Benchmark) -> None:
    plan = planned(benchmark)
    summary = summarise(plan, score_plan(plan, answered(plan)))
    theirs = by_lm_eval(benchmark)
    assert set(summary["tasks"]) == set(theirs)
    for name, ours in summary["tasks"].items():
        for metric, figure in ours["metrics"].items():
            key, _, other = metric.partition(",")
            assert figure["value"] == pytest.approx(theirs[name][f"{key},{other or ours['filter']}"])
        stderr = theirs[name][f"{ours['metric']}_stderr,{ours['filter']}"]
        assert ours["stderr"] == pytest.approx(stderr)


def test_micro_and_macro_averages() -> None:
    plan = planned(MMLU, C_EVAL)
    scores = score_plan(plan, answered(plan))
    summary = summarise(plan, scores)
    per_task = {s.task: s.samples["score"] for s in scores}
    mmlu, c_eval = summary["benchmarks"]["mmlu"], summary["benchmarks"]["c_eval"]
    docs = [v for name in mmlu["tasks"] for v in per_task[name]]
    assert mmlu["value"] == pytest.approx(sum(docs) / len(docs))
    means = [per_task[name].mean() for name in c_eval["tasks"]]
    assert c_eval["value"] == pytest.approx(sum(means) / len(means))
    assert mmlu["average"] == "micro"
    assert c_eval["average"] == "macro"


def test_samples_say_what_was_taken_and_by_which_rule() -> None:
    plan = planned(GSM8K)
    responses = answered(plan)
    first, second, third, *_ = plan.unique()
    responses[first.hash] = Generated("So the answer is 12 cats.", "stop", 1, 1)
    responses[second.hash] = Generated("no number", "length", 1, 512)
    responses[third.hash] = Generated("7\nThe answer is 8", "stop", 1, 1)
    (scores,) = score_plan(plan, responses)
    frame = scores.samples.set_index("doc_id")
    assert list(frame.loc["0", ["extracted", "rule", "unparsed", "truncated"]]) == ["12", "last_number", False, False]
    assert list(frame.loc["1", ["unparsed", "truncated"]]) == [True, True]
    assert frame["rule"].isna()["1"]
    assert frame.loc["1", "score"] == 0.0
    assert frame.loc["2", "extracted"] == "8"
    assert "exact_match,strict" in frame
    summary = summarise(plan, [scores])["tasks"]["gsm8k_qwen_cot"]
    assert summary["unparsed"] == summary["truncated"] == pytest.approx(1 / len(frame))


def test_docs_that_share_a_passage_are_clustered() -> None:
    plan = planned(HELLASWAG)
    task = plan.benchmarks[0].tasks[0]
    for number, doc in enumerate(task.docs):
        doc.doc["passage"] = number // 2
    task.task.config.metadata["cluster"] = "passage"
    (scores,) = score_plan(plan, answered(plan))
    assert 1 < scores.samples["cluster"].nunique() < len(task.docs)
    assert summarise(plan, [scores])["tasks"]["hellaswag_text"]["stderr_kind"] == "clustered"


def test_a_missing_response_is_never_a_score() -> None:
    plan = planned(HELLASWAG)
    responses = answered(plan)
    responses.popitem()
    with pytest.raises(UserError, match="its response is missing"):
        score_plan(plan, responses)


def test_a_group_that_mixes_metrics_has_one_entry_each() -> None:
    plan = planned(Benchmark("truthfulqa", "truthfulqa", ("truthfulqa_mc1", "gsm8k_cot"), 0, None, None))
    summary = summarise(plan, score_plan(plan, answered(plan)))
    assert list(summary["benchmarks"]) == ["truthfulqa (acc)", "truthfulqa (exact_match)"]
    assert summary["benchmarks"]["truthfulqa (exact_match)"]["tasks"] == ["gsm8k_cot"]


def test_a_metric_of_the_whole_set_is_resampled() -> None:
    plan = planned(GSM8K)
    (scores,) = score_plan(plan, answered(plan))
    scores.values["bleu"] = [("a b c d e", "a b c d e")] * len(scores.samples)
    scores.aggregations["bleu"] = lambda pairs: 100.0 * sum(a == b for a, b in pairs) / len(pairs)
    figure = summarise(plan, [scores])["tasks"]["gsm8k_qwen_cot"]["metrics"]["bleu"]
    assert figure == {"value": 100.0, "stderr": 0.0, "stderr_kind": "bootstrap", "unit": "points"}
