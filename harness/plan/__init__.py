"""What to ask: benchmarks, data, few-shots, prompts and requests."""

from harness.plan.benchmark import Benchmark
from harness.plan.data import Source
from harness.plan.planner import BenchmarkPlan, DocPlan, Plan, Settings, TaskPlan, make_plan
from harness.plan.request import Generate, Request, Sampling, Score

__all__ = [
    "Benchmark",
    "BenchmarkPlan",
    "DocPlan",
    "Generate",
    "Plan",
    "Request",
    "Sampling",
    "Score",
    "Settings",
    "Source",
    "TaskPlan",
    "make_plan",
]
