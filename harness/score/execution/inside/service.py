"""Compilers that stay: one process an agent, which translates many programs and runs none."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import Any

from . import kernel, wire


class Service:
    """One compiler process, started at its first request and again after a failure."""

    def __init__(self, argv: list[str], environment: dict[str, str], uid: int | None, memory: int) -> None:
        self._argv = argv
        self._environment = environment
        self._uid = uid
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None

    def compile(self, name: str, text: str, wall: float) -> dict[str, Any]:
        """Translate one program: `{ok, files, text, wall}`; a compiler that fails or is late is ended."""
        began = time.monotonic()
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        answer: dict[str, Any]
        try:
            wire.write_frame(process.stdin.fileno(), {"name": name, "text": text})
            ready, _, _ = select.select([process.stdout], [], [], wall)
            if not ready:
                self.stop()
                answer = {"ok": False, "files": {}, "text": "the compiler took too long", "reason": "timeout"}
            else:
                answer = wire.read_frame(process.stdout.fileno())
        except wire.Broken as error:
            self.stop()
            answer = {"ok": False, "files": {}, "text": f"the compiler ended: {error}"}
        return answer | {"wall": time.monotonic() - began}

    def _start(self) -> subprocess.Popen[bytes]:
        # A forked agent has no threads, so preexec_fn is safe here.
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=self._environment, cwd="/", preexec_fn=self._enter,
        )  # fmt: skip
        return self._process

    def _enter(self) -> None:
        kernel.set_limits({"data": self._memory, "core": 0, "file_size": 1 << 20})
        kernel.drop_privileges(self._uid)
        kernel.die_with_parent()

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
