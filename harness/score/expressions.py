"""Equality of mathematical expressions by math-verify, in a process of its own.

Some expressions keep a computer algebra system busy for hours, in code that no alarm interrupts. The process is ended
when an answer takes too long, and the next question starts a new one.
"""

from __future__ import annotations

import atexit
import functools
import json
import select
import subprocess
import sys
import threading
from typing import Final

SECONDS: Final = 12.0
"""By the clock, for one answer; what takes longer is not equal."""

START_SECONDS: Final = 120.0
"""For the process to load the algebra system, on a busy machine."""

STEP_SECONDS: Final = 4
"""math-verify's own limit for each of its steps: reading either side, and comparing them."""

MEMORY: Final = 4 << 30
"""Bytes that the process may take."""


class Judge:
    """The process, started with the first question."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def equal(self, gold: str, answer: str) -> bool:
        """Whether an answer equals the reference; False where that cannot be told within the limit."""
        with self._lock:
            try:
                process = self._started()
                assert process.stdin is not None
                process.stdin.write(json.dumps([gold, answer]) + "\n")
                process.stdin.flush()
                line = self._line(process, SECONDS)
            except BrokenPipeError:
                line = ""
            except BaseException:
                # interrupted: its answer would be taken for that of the next question
                self.close()
                raise
            if not line:
                self.close()
            return line.strip() == "true"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", "harness.score.expressions"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            if not self._line(self._process, START_SECONDS):
                self.close()
                raise RuntimeError("the process that compares expressions does not start: is math-verify installed?")
        return self._process

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else ""


@functools.cache
def _judge() -> Judge:
    judge = Judge()
    atexit.register(judge.close)
    return judge


@functools.lru_cache(maxsize=65536)
def equal(gold: str, answer: str) -> bool:
    """Whether math-verify finds the answers of two texts equal."""
    return _judge().equal(gold, answer)


def main() -> None:
    """Answer questions, one JSON line each, until there are no more."""
    import logging
    import resource

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print("ready", flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        try:
            left, right = (parse(text, parsing_timeout=STEP_SECONDS) for text in (gold, answer))
            same = bool(verify(left, right, timeout_seconds=STEP_SECONDS))
        except (ValueError, TypeError, ArithmeticError, RecursionError, MemoryError, AttributeError):
            same = False
        print(json.dumps(same), flush=True)


if __name__ == "__main__":
    main()
