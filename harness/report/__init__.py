"""Scores for people and for CI: tables beside the published figures."""

from harness.report.published import Published, load_published
from harness.report.table import Table, make_table

__all__ = ["Published", "Table", "load_published", "make_table"]
