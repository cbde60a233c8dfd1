"""Sandboxes by name, and the agent that runs programs inside one.

`bwrap` gives each program its own pid, ipc and mount name spaces in a file system of read-only system
folders, without network; `rlimit` only limits resources and, started as root, changes to a user of its own;
`none` limits resources and changes nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from harness.errors import UserError
from harness.score.execution.inside import supervise, wire
from harness.score.execution.spec import SandboxName

_INSIDE: Final = Path(__file__).parent / "inside"
_START: Final = "import sys; sys.path.insert(0, {path!r}); from inside.main import main; main()"

# The users of agents are drawn from here on: far above those of a system.
_FIRST_UID: Final = 1_800_000_000

_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
# Of /etc, what tools of the supported languages read; no account, key or host name is among it.
_ETC: Final = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "mono", "php", "ssl/openssl.cnf")
_CAPABILITIES: Final = (
    "SYS_ADMIN",
    "SETUID",
    "SETGID",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SYS_RESOURCE",
)

RLIMIT_WARNING: Final = (
    "the sandbox 'rlimit' limits time, memory, processes and output, but programs see the network and the "
    "file system as any user of this machine does; install bubblewrap for a real one"
)


class AgentDied(Exception):
    """The agent ended in the middle of a run."""


@cache
def bwrap_works() -> bool:
    """Whether bubblewrap is here and may make name spaces (some containers forbid it)."""
    if not shutil.which("bwrap"):
        return False
    try:
        with Agent("bwrap", warm=()):
            return True
    except (AgentDied, OSError):
        return False


def choose(name: SandboxName) -> SandboxName:
    """The sandbox that `name` means here: the strongest that works for `auto`, which the receipt records.

    Raises UserError for an unknown name, and where bwrap is asked for and does not work.
    """
    if name not in ("auto", "bwrap", "rlimit", "none"):
        raise UserError(f"execution.sandbox = {name} is none of the sandboxes.", "Use auto, bwrap, rlimit or none.")
    if name == "bwrap" and not bwrap_works():
        raise UserError(
            "execution.sandbox = bwrap, but bubblewrap does not work here.",
            "Install bubblewrap (`apt-get install bubblewrap`), or use execution.sandbox=rlimit.",
        )
    if name == "auto":
        name = "bwrap" if bwrap_works() else "rlimit"
    if name == "rlimit":
        warnings.warn(RLIMIT_WARNING, stacklevel=2)
    return name


class Agent:
    """One agent in its sandbox, for one worker; a context manager. Runs one request at a time."""

    def __init__(
        self,
        sandbox: SandboxName,
        *,
        folders: Mapping[str, Path] | None = None,
        warm: Sequence[str] = ("numpy",),
    ) -> None:
        """Start the agent; `folders` are shown to programs, read-only, under /opt by name.

        Raises AgentDied where the sandbox does not start.
        """
        self.sandbox = sandbox
        self.folders = folders or {}
        self._base = Path(tempfile.mkdtemp(prefix="harness-run-"))
        self._base.chmod(0o711)
        isolated = sandbox == "bwrap"
        uid = self._uid()
        argv = [*self._wrapper(), *self._python(isolated)]
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=_ENVIRONMENT, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError:
            remove(self._base)
            raise
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        config = {
            "isolated": isolated,
            "uid": uid,
            "work": str(self._base / "run"),
            "environment": _ENVIRONMENT | {"HOME": supervise.WORK if isolated else str(self._base / "run")},
            "packages": "/opt/site" if isolated else sysconfig.get_path("purelib"),
            "warm": [] if isolated or readable_by_others(_interpreter().parent) else [*_loadable(), *warm],
        }
        try:
            wire.write_frame(self._in, config)
            self.python: list[int] = wire.read_frame(self._out)["ready"]
        except wire.Broken as error:
            self.close()
            raise AgentDied(f"the sandbox {sandbox} did not start") from error

    def _uid(self) -> int | None:
        if self.sandbox == "none":
            return None
        if os.geteuid() == 0:
            # One user an agent: programs of two agents cannot touch each other, and each has its own
            # process limit.
            return _FIRST_UID + int.from_bytes(os.urandom(3), "big")
        return os.geteuid()

    def _python(self, isolated: bool) -> list[str]:
        package = "/opt/harness" if isolated else str(_INSIDE.parent)
        outside = not Path(sys.base_prefix).resolve().is_relative_to("/usr")
        command = f"/opt/python/bin/{_interpreter().name}" if isolated and outside else sys.executable
        return [command, "-I", "-B", "-c", _START.format(path=package)]

    def _wrapper(self) -> list[str]:
        if self.sandbox != "bwrap":
            return []
        argv = [
            "bwrap",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        argv += ["--die-with-parent", "--new-session", "--hostname", "sandbox"]
        if os.geteuid() != 0:
            argv += ["--unshare-user"]
        for capability in _CAPABILITIES:
            argv += ["--cap-add", f"CAP_{capability}"]
        for folder in _SYSTEM:
            if Path(folder).is_symlink():
                argv += ["--symlink", os.readlink(folder), folder]  # noqa: PTH115 - as it stands, not resolved
            elif Path(folder).is_dir():
                argv += ["--ro-bind", folder, folder]
        # bubblewrap makes folders on the way to a mount for its owner only; programs run as another user.
        for folder in ("/opt", "/opt/harness", "/etc", "/etc/ssl"):
            argv += ["--perms", "0755", "--dir", folder]
        etc = [f"/etc/{name}" for name in _ETC] + [str(path) for path in Path("/etc").glob("java*")]
        for path in etc:
            argv += ["--ro-bind-try", path, path]
        shown = {"harness/inside": _INSIDE, "site": Path(sysconfig.get_path("purelib")), **self.folders}
        base = _interpreter().parent.parent
        if not base.is_relative_to("/usr"):
            # The interpreter often lies in a home; shown elsewhere, nothing of the home's name or content
            # shows.
            shown["python"] = base
            argv += ["--setenv", "LD_LIBRARY_PATH", "/opt/python/lib"]
        for name, source in shown.items():
            argv += ["--ro-bind", str(source), f"/opt/{name}"]
        argv += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--dir", "/tmp"]
        return [*argv, "--remount-ro", "/", "--chdir", "/", "--"]

    def folder(self, name: str) -> str:
        """Where programs see a folder of `folders`. Outside bwrap, a copy where others may not read the
        original."""
        if self.sandbox == "bwrap":
            return f"/opt/{name}"
        source = self.folders[name]
        if readable_by_others(source):
            return str(source)
        copy = self._base / name
        if not copy.exists():
            shutil.copytree(source, copy)
        return str(copy)

    def run(self, request: Mapping[str, Any], secret: Mapping[str, Any]) -> Any:
        """Run one request and return its result. Raises AgentDied; the agent is then of no more use."""
        try:
            wire.write_frame(self._in, request)
            wire.write_frame(self._in, secret)
            return wire.read_frame(self._out)
        except wire.Broken as error:
            raise AgentDied(self.last_words() or str(error)) from error

    def last_words(self) -> str:
        """What the agent wrote to stderr, after its end."""
        self._process.kill()
        assert self._process.stderr
        return self._process.stderr.read().decode("utf-8", "replace").strip()[-2000:]

    def close(self) -> None:
        """End the agent and all it started; nothing of it remains."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()
        remove(self._base)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _interpreter() -> Path:
    """The interpreter itself, behind the links of a virtual environment."""
    return Path(sys.executable).resolve()


def _loadable() -> list[str]:
    """The standard library but for what opens windows or browsers: loaded ahead where programs may not read
    it."""
    return sorted(
        name
        for name in sys.stdlib_module_names
        if not name.startswith("_")
        and name not in ("antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo")
    )


def readable_by_others(path: Path) -> bool:
    """Whether a user without rights of its own may reach and read this folder."""
    mode = path.stat().st_mode
    reachable = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    return reachable and bool(mode & stat.S_IROTH) and bool(mode & stat.S_IXOTH)


def remove(path: Path) -> None:
    """Remove a run's folder, whatever a program left in it."""
    supervise.remove_tree(str(path))
