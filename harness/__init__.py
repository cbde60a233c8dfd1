"""A benchmark harness for language models: plan, collect, score, report."""

__version__ = "0.1.0"
