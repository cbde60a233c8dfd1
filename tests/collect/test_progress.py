"""The lines where there is no terminal."""

from __future__ import annotations

import pytest

from harness.collect import progress
from harness.collect.progress import Live


def test_the_time_left_is_told_by_what_came_after_loading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with Live(20, "asking") as live:
        now = 30.0  # the model was loaded
        live.update(2, 100, 0.0)
        now = 41.0
        live.update(13, 900, 0.0)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "asking: 2/20 requests, 0.1/s, 100 tokens"
    assert second == "asking: 13/20 requests, 1.0/s, 900 tokens, about 7 s left"
