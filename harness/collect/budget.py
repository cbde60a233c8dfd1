"""What a run may cost: money is set aside before a request is sent, and booked when its answer is there."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import BudgetError

STEP = 0.01  # of the budget: how far ahead of the books the record of spending is


class Budget:
    """A run's account in US dollars.

    ``charged + reserved`` never exceeds the limit, if no request costs more than was set aside for it. What may have
    been charged is recorded before it is: a run that is killed finds on its return at least what it had spent.
    """

    def __init__(self, limit: float | None, spent: float = 0.0, note: Callable[[float], None] | None = None) -> None:
        """Open the account.

        Args:
            limit: the most that may be charged in all; None is no limit.
            spent: what earlier starts of this run were charged.
            note: keeps a figure for the next start.
        """
        self.limit = limit
        """The most that may be charged."""
        self.charged = spent
        """What was charged so far, attempts without an answer included."""
        self.reserved = 0.0
        """Set aside for requests in flight."""
        self.in_flight = 0
        """How many requests that is."""
        self.lost = 0.0
        """What attempts without an answer may have been charged since this start."""
        self._noted = spent
        self._note = note

    def reserve(self, usd: float) -> bool:
        """Set aside the most that a request can cost; False if it is not there."""
        ahead = self.charged + self.reserved + usd
        if self.limit is not None and ahead > self.limit:
            return False
        self.reserved += usd
        self.in_flight += 1
        self._record(ahead)
        return True

    def _record(self, ahead: float) -> None:
        """Keep the record ahead of what may have been charged."""
        if ahead > self._noted and self._note is not None:
            step = STEP * (self.limit if self.limit is not None else max(ahead, 1.0))
            self._noted = ahead + step if self.limit is None else min(self.limit, ahead + step)
            self._note(self._noted)

    def book(self, charged: float, lost: float) -> None:
        """Add what another process was charged without asking this account; ``lost`` of it without an answer."""
        self.charged += charged
        self.lost += lost
        self._record(self.charged + self.reserved)

    def settle(self, reserved: float, charged: float, *, lost: bool = False) -> None:
        """Book what a request was charged, against what was set aside for it.

        Args:
            reserved: what :meth:`reserve` set aside.
            charged: what it cost, or may have cost.
            lost: whether no answer came of it.
        """
        self.in_flight -= 1
        # sums of floating numbers leave crumbs
        self.reserved = max(0.0, self.reserved - reserved) if self.in_flight else 0.0
        self.charged += charged
        if lost:
            self.lost += charged

    def close(self) -> None:
        """Record what was charged; what is still in flight counts whole."""
        if self._note is not None and self._noted > 0:
            self._note(self.charged + self.reserved)

    def spent_up(self, wanted: float) -> BudgetError:
        """The error that stops a run for which the next request is too dear."""
        return BudgetError(
            f"budget.usd = {self.limit:g}, of which ${self.charged:.4f} is spent; "
            f"the next request may cost ${wanted:.4f}.",
            "What was answered is kept: raise budget.usd, and the same command goes on from there.",
        )
