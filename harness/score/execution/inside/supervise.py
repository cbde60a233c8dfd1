"""The first process of a run: it makes the place, starts the program's processes, watches and ends them.

It never executes code of the program under test; it keeps the privileges that the program gives up.
"""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from . import clock, judge, kernel, player, wire

WORK: Final = "/tmp/run"
"""The working folder of a program in its own mount name space, on a file system in memory that dies with
it."""

TAIL: Final = 8192
"""Bytes kept from the end of each output stream."""

LOOK_AROUND: Final = 0.1
"""Seconds between two looks at the memory of all processes of a run together."""


class Place:
    """Where and as whom the program runs."""

    def __init__(self, config: dict[str, Any], request: dict[str, Any]) -> None:
        self.isolated: bool = config["isolated"]
        self.uid: int | None = config["uid"]
        self.limits: dict[str, int] = request["limits"]
        self.memory: int = request["memory"]
        self.output: int = request["output"]
        self.alone: bool = request["alone"]
        self.environment: dict[str, str] = config["environment"] | request.get("environment", {})
        self.work = WORK if self.isolated else config["work"]

    def make(self, files: dict[str, str], binary: dict[str, str]) -> None:
        """An empty working folder with the program's files, given as text or as base64."""
        if self.isolated:
            kernel.mount_tmpfs("/tmp", self.limits["file_size"] * 4, 20_000)
            kernel.mount_proc("/proc")
        else:
            kernel.adopt_orphans()
        os.mkdir(self.work, 0o700)  # noqa: PTH102
        content = {name: text.encode("utf-8", "surrogatepass") for name, text in files.items()}
        content |= {name: base64.b64decode(text) for name, text in binary.items()}
        for name, body in content.items():
            path = Path(self.work, name)
            path.write_bytes(body)
            self._give(path)
        self._give(Path(self.work))
        os.chdir(self.work)
        kernel.hide_memory()

    def _give(self, path: Path) -> None:
        if self.uid is not None and os.geteuid() == 0:
            os.chown(path, self.uid, self.uid)

    def enter(self, limits: dict[str, int]) -> None:
        """Make the present process one that a program may have."""
        kernel.set_limits(self.limits | limits)
        kernel.drop_privileges(self.uid)
        kernel.die_with_parent()

    def clean(self) -> None:
        """End every process of the run, and remove its folder where the kernel does not."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            kernel.kill_others(self.uid)
            try:
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            except ChildProcessError:
                break
            time.sleep(0.001)
        if not self.isolated:
            os.chdir("/")
            remove_tree(self.work)


def remove_tree(path: str) -> None:
    """Remove a folder however deep and whatever its permissions; rmtree would recurse once a level."""
    for _ in range(100_000):
        try:
            shutil.rmtree(path, onerror=_make_writable)
            return
        except FileNotFoundError:
            return
        except (RecursionError, OSError):
            # Cut a deep tree in pieces: lift what lies in its depth to the top, and try again.
            _flatten(path)


def _make_writable(function: Callable[..., Any], path: str, _info: Any) -> None:
    with contextlib.suppress(OSError):
        os.chmod(Path(path).parent, 0o700)  # noqa: PTH101
        os.chmod(path, 0o700, follow_symlinks=True) if not Path(path).is_symlink() else None  # noqa: PTH101
        function(path)


def _flatten(path: str) -> None:
    start = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    here = os.dup(start)
    try:
        for _ in range(400):
            below = [entry.name for entry in os.scandir(here) if entry.is_dir(follow_symlinks=False)]
            if not below:
                break
            with contextlib.suppress(OSError):
                os.chmod(below[0], 0o700, dir_fd=here)
            deeper = os.open(below[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = deeper
        for entry in list(os.scandir(here)):
            with contextlib.suppress(OSError):
                os.rename(entry.name, f"lifted-{time.monotonic_ns()}", src_dir_fd=here, dst_dir_fd=start)
    finally:
        os.close(here)
        os.close(start)


class Watch:
    """One program's process with its streams, from its start to its end."""

    def __init__(self, place: Place, wall: float, start: Callable[[int, int], int]) -> None:
        self.place = place
        self.began = time.monotonic()
        self.limit = wall
        self.deadline = self.began + wall
        self.tails = [bytearray(), bytearray()]
        self.written = 0
        self.reason = ""
        self.answers: dict[int, Callable[[], bool]] = {}
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self.streams = {out_read: 0, err_read: 1}
        self.pid = start(out_write, err_write)
        os.close(out_write)
        os.close(err_write)
        self.child = os.pidfd_open(self.pid)

    def wait(self) -> dict[str, Any]:
        """Wait for the end: of the process, of what `answers` watches, or of the run's patience."""
        poll = select.poll()
        for fd in (*self.streams, *self.answers, self.child):
            poll.register(fd, select.POLLIN)
        look = time.monotonic() + LOOK_AROUND
        ended = False
        while not ended and not self.reason:
            now = time.monotonic()
            if now >= self.deadline and not self._extended(now):
                self.reason = "timeout"
                break
            if now >= look:
                look = now + LOOK_AROUND
                if kernel.resident_bytes(kernel.descendants(os.getpid())) > self.place.memory:
                    self.reason = "memory"
                    break
            for fd, _event in poll.poll(max(1.0, (min(self.deadline, look) - now) * 1000)):
                if fd == self.child:
                    ended = ended or not self.answers
                    poll.unregister(fd)
                elif fd in self.answers:
                    ended = self.answers[fd]()
                elif not self._drain(fd):
                    poll.unregister(fd)
        return self._finish()

    def _extended(self, now: float) -> bool:
        """Whether the run gets more time, because it did not have the processor for all of it."""
        cpu = kernel.cpu_seconds(kernel.descendants(os.getpid()))
        more = clock.more_time(self.limit, now - self.began, cpu, self.place.alone)
        self.deadline = now + more
        return more > 0

    def _drain(self, fd: int) -> bool:
        part = os.read(fd, 65536)
        self.written += len(part)
        tail = self.tails[self.streams[fd]]
        tail += part
        del tail[:-TAIL]
        if self.written > self.place.output:
            self.reason = "output"
        return bool(part)

    def _finish(self) -> dict[str, Any]:
        used = kernel.cpu_seconds(kernel.descendants(os.getpid())) if self.reason == "timeout" else 0.0
        if self.reason:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        elif self.answers:
            # The verdict is in; give the player a moment to end by itself, so that its output is whole.
            select.select([self.child], [], [], 0.05)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        _pid, status, usage = os.wait4(self.pid, 0)
        wall = time.monotonic() - self.began
        kernel.kill_others(self.place.uid)
        for fd in self.streams:
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while not self.reason and self._drain(fd) and self.written <= self.place.output:
                    pass
            os.close(fd)
        os.close(self.child)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            self.reason = self.reason or "timeout"
        if code == -signal.SIGXFSZ:
            self.reason = self.reason or "output"
        return {
            "code": code,
            "reason": self.reason,
            "stdout": self.tails[0].decode("utf-8", "replace"),
            "stderr": self.tails[1].decode("utf-8", "replace"),
            "wall": wall,
            "cpu": max(usage.ru_utime + usage.ru_stime, used),
            "limit": self.limit,
        }


def run_steps(place: Place, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Run commands one after another (compile, then run); the first that fails is the last."""
    results = []
    for step in request["steps"]:
        watch = Watch(place, step["wall"], _command(place, step))
        result = watch.wait()
        results.append(result)
        if result["code"] != 0 or result["reason"]:
            break
    return results


def _command(place: Place, step: dict[str, Any]) -> Callable[[int, int], int]:
    def start(out: int, err: int) -> int:
        pid = kernel.fork_quickly()
        if pid:
            return pid
        try:
            nothing = os.open("/dev/null", os.O_RDONLY)
            player.prepare({0: nothing, 1: out, 2: err}, {})
            place.enter(step["limits"])
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            # Python ignores this signal, and programs inherit that; a shell pipeline needs it.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execvpe(step["argv"][0], step["argv"], place.environment)
        except OSError as error:
            os.write(2, f"{step['argv'][0]}: {error}\n".encode())
        finally:
            os._exit(127)

    return start


def run_python(place: Place, request: dict[str, Any], secret: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Play a Python program and judge it. `secret` is read only when the player already runs without it."""
    commands_read, commands = os.pipe()
    answers, answers_write = os.pipe()

    def start(out: int, err: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            nothing = os.open("/dev/null", os.O_RDONLY)
            player.prepare(
                {0: nothing, 1: out, 2: err}, {player.COMMANDS: commands_read, player.ANSWERS: answers_write}
            )
            place.enter(request["step_limits"])
            os.environ.clear()
            os.environ.update(place.environment)
            player.main(request)
        finally:
            os._exit(125)

    watch = Watch(place, request["wall"], start)
    os.close(commands_read)
    os.close(answers_write)
    if request["mode"] == "serve":
        verdict = _judge_check(place, watch, secret(), commands, answers)
    else:
        os.close(commands)
        verdict = _judge_stream(watch, request, secret(), answers)
    os.close(answers)
    return verdict


def _judge_stream(watch: Watch, request: dict[str, Any], secret: dict[str, Any], answers: int) -> dict[str, Any]:
    """Judge a script's end, or outputs as they come."""
    outputs = judge.Outputs(request["inputs"], secret) if "expected" in secret else None
    verdict: dict[str, Any] = {
        "status": "wrong",
        "detail": "the program ended before its tests had finished",
        "outputs": [],
        "seconds": [],
    }

    def arrived() -> bool:
        try:
            message = wire.read_frame(answers)
            if "error" in message:
                verdict.update(
                    status=judge.failure_status(message["error"]),
                    detail=f"{message['error']}: {message['text']}"[:500],
                    call_cpu=float(message.get("cpu", 0)),
                    call_limit=float(message.get("limit", 0)),
                )
                return True
            if "end" in message:
                complete = outputs is None or outputs.count == len(outputs.expected)
                if complete:
                    verdict.update(status="passed", detail="")
                return True
            if outputs is None:
                verdict["outputs"] += message["outputs"]
                verdict["seconds"] += message["seconds"]
            elif not outputs.accept(message["outputs"]):
                verdict.update(detail=f"wrong output for input {outputs.count}")
                return True
        except (wire.Broken, KeyError, TypeError, ValueError):
            return True
        return False

    watch.answers[answers] = arrived
    result = watch.wait()
    verdict["right"] = outputs.count if outputs else 0
    return result | verdict


def _judge_check(place: Place, watch: Watch, secret: dict[str, Any], commands: int, answers: int) -> dict[str, Any]:
    """Run the tests in a process of their own, which the program can neither read nor trace."""
    verdict_read, verdict_write = os.pipe()
    tester = kernel.fork_quickly()
    if tester == 0:
        try:
            nothing = os.open("/dev/null", os.O_RDWR)
            player.prepare({0: nothing, 1: nothing, 2: nothing}, {3: commands, 4: answers, 5: verdict_write})
            place.enter({})
            kernel.hide_memory()
            wire.write_frame(5, judge.run_check(secret, 3, 4))
        except wire.Broken as error:
            wire.write_frame(5, {"status": "wrong", "detail": f"the program ended early: {error}"})
        finally:
            os._exit(0)
    os.close(verdict_write)
    verdict = {"status": "error", "detail": "the tests were stopped"}

    def arrived() -> bool:
        with contextlib.suppress(wire.Broken):
            verdict.update(wire.read_frame(verdict_read))
        os.close(commands)  # the player reads the end of its commands, and ends
        return True

    watch.answers[verdict_read] = arrived
    result = watch.wait()
    with contextlib.suppress(ProcessLookupError):
        os.kill(tester, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(tester, 0)
    os.close(verdict_read)
    return result | verdict


def own_limits(memory: int) -> None:
    """Bound the supervisor itself: what it reads comes from a program under test."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
