"""Ask once and keep: the store of responses and the collector that fills it."""

from harness.collect.budget import Budget
from harness.collect.collector import Collected, Totals, collect
from harness.collect.store import Store

__all__ = ["Budget", "Collected", "Store", "Totals", "collect"]
