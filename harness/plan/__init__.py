"""What to ask: benchmarks, data, few-shots, prompts and requests."""

from harness.plan.benchmark import Benchmark, Composite
from harness.plan.data import Source
from harness.plan.planner import BenchmarkPlan, DocPlan, Plan, Settings, TaskPlan, make_plan
from harness.plan.request import Generate, Message, Request, Sampling, Score

__all__ = [
    "Benchmark",
    "BenchmarkPlan",
    "Composite",
    "DocPlan",
    "Generate",
    "Message",
    "Plan",
    "Request",
    "Sampling",
    "Score",
    "Settings",
    "Source",
    "TaskPlan",
    "make_plan",
]
