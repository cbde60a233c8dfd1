"""The few calls to the Linux kernel that Python 3.11 has no name for, and the limits of a process."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import resource
import signal
from collections.abc import Mapping
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWPID: Final = 0x20000000

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_MS_NOSUID_NODEV: Final = 2 | 4
_MS_NOEXEC: Final = 8
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522

LIMITS: Final[Mapping[str, int]] = {
    "address": resource.RLIMIT_AS,
    "data": resource.RLIMIT_DATA,
    "cpu": resource.RLIMIT_CPU,
    "processes": resource.RLIMIT_NPROC,
    "file_size": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "stack": resource.RLIMIT_STACK,
}
"""Names of limits as they travel to the agent, and the kernel's."""


@functools.cache
def libc() -> ctypes.PyDLL:
    """The C library, opened once and before any fork. PyDLL keeps Python's lock through a call, which a
    child of `_clone` must hold as well."""
    return ctypes.PyDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def fork_isolated() -> int:
    """As `fork_quickly`, with mount, ipc and pid name spaces of its own, in which the child is process 1.

    Raises OSError, also on machines whose system calls this module does not know.
    """
    return _clone(_CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWPID)


def fork_quickly() -> int:
    """As `os.fork`, at a third of its price: without what Python does for a child that goes on as a whole
    program.

    For a child that soon forks, executes another program or ends, and starts no thread: the C library does
    not know that it is a new process.
    """
    return _clone(0) if platform.machine() in _CLONE else os.fork()


def _clone(flags: int) -> int:
    number = _CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"clone is not known on {platform.machine()}")
    pid = int(libc().syscall(number, flags | signal.SIGCHLD, 0, 0, 0, 0))
    if pid < 0:
        _checked(pid, "clone")
    return pid


def mount_tmpfs(target: str, size: int, inodes: int) -> None:
    """An empty file system in memory of at most `size` bytes and `inodes` files. Raises OSError."""
    options = f"size={size},nr_inodes={inodes},mode=755".encode()
    _checked(libc().mount(b"tmpfs", target.encode(), b"tmpfs", _MS_NOSUID_NODEV, options), "mount tmpfs")


def mount_proc(target: str) -> None:
    """A /proc that shows the present pid name space and no other. Raises OSError."""
    flags = _MS_NOSUID_NODEV | _MS_NOEXEC
    _checked(libc().mount(b"proc", target.encode(), b"proc", flags, None), "mount proc")


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    _checked(libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def hide_memory() -> None:
    """Let no process without privileges trace this one or read its memory, files and environment by /proc."""
    _checked(libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none escapes."""
    _checked(libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def drop_privileges(uid: int | None) -> None:
    """Give up every capability, for good, and become `uid` where that is not None and we are root.

    The effective and permitted sets are emptied and no later exec can gain anything (no_new_privs).
    """
    if uid is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if uid is not None:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        nothing = (ctypes.c_uint32 * 6)()
        _checked(libc().capset(header, nothing), "capset")
    _checked(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def set_limits(limits: Mapping[str, int]) -> None:
    """Apply resource limits by name, as hard limits; one below a limit already in force stays below it."""
    for name, value in limits.items():
        number = LIMITS[name]
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # For the processor time the soft limit comes one second earlier, so that the kernel sends SIGXCPU,
        # which tells a timeout from a kill.
        resource.setrlimit(number, (value, value + 1 if name == "cpu" and hard == -1 else value))


def kill_others(uid: int | None) -> None:
    """Kill what is left of a run: all that we may kill but ourselves (pid 1), or all of `uid`."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    elif uid is not None and os.geteuid() == 0:
        child = os.fork()
        if child == 0:
            # Only a process of that uid can name "all processes of that uid"; it kills itself last or never.
            os.setresuid(uid, uid, uid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            os._exit(0)
        os.waitpid(child, 0)
    else:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """Every process below `root`, by the parents that /proc tells."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path an entry is slow, and this runs often
        if name.isdigit():
            fields = _fields(f"/proc/{name}/stat")
            if len(fields) > 1:
                parents[int(name)] = int(fields[1])
    found: list[int] = []
    wave = {root}
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave and pid not in found}
        found += wave
    return found


def resident_bytes(pids: list[int]) -> int:
    """Memory of their own that these processes hold now, pages shared with a file left out."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in pids:
        fields = _fields(f"/proc/{pid}/statm")
        if len(fields) > 2:
            total += (int(fields[1]) - int(fields[2])) * page
    return total


def _fields(path: str) -> list[str]:
    """The fields of a file of /proc after a command's name; none where the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - a Path each time is slow
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that these processes, and those of their children that ended, have had."""
    ticks = 0
    for pid in pids:
        ticks += sum(int(field) for field in _fields(f"/proc/{pid}/stat")[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
