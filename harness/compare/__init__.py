"""Runs side by side: what differs, how surely, and on which docs."""

from harness.compare.compare import Comparison, Difference, Pair, compare
from harness.compare.flips import Flip

__all__ = ["Comparison", "Difference", "Flip", "Pair", "compare"]
