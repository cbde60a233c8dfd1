"""Clears up after a process that was killed: its private cluster's processes, and their folder.

A process of its own, started beside the cluster. Most of Ray ends with its driver; its agents look for their dead head
for another minute, and its folder of logs and sockets would stay.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

EVERY = 0.5  # seconds between two looks at the driver
GRACE = 2.0  # seconds that processes have to end by themselves
MARK = "RAY_AUTH_TOKEN_PATH"


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A keeper of this process' cluster; it outlives a signal to the whole group."""
    # by its file: it needs nothing of the package, and must start at once
    command = [sys.executable, "-P", __file__, str(os.getpid()), str(folder)]
    return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def family(folder: Path) -> list[psutil.Process]:
    """The cluster's processes, and what they started: their token or an open file lies in this folder."""
    within = f"{folder}{os.sep}"
    found = []
    for process in psutil.process_iter():
        try:
            # some of Ray's processes write their titles over their environment
            paths = [process.environ().get(MARK, ""), *(file.path for file in process.open_files())]
        except (psutil.Error, OSError):
            continue  # it has ended, or is not ours
        if any(path.startswith(within) for path in paths):
            found.append(process)
    return found


def clear(folder: Path) -> None:
    """End the processes of the cluster, and remove its folder."""
    psutil.wait_procs(family(folder), timeout=GRACE)
    for process in family(folder):
        try:
            process.kill()
        except psutil.Error:
            continue  # it has just ended
    shutil.rmtree(folder, ignore_errors=True)


def main(driver: int, folder: Path) -> None:
    """Wait until the driver is gone; then clear up what it did not."""
    while os.getppid() == driver and folder.is_dir():
        time.sleep(EVERY)
    if folder.is_dir():
        clear(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
