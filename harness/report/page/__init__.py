"""One HTML file that shows runs whole: table, charts, breakdowns, cost, receipts, and every sample behind them."""

from harness.report.page.page import make_page, write_page

__all__ = ["make_page", "write_page"]
