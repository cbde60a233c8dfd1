"""Programs that mean harm: none has an effect outside, each gets the right verdict, and the innocent pass beside them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.score.execution import Limits, Program, SandboxName, choose_sandbox, execute, python_check
from harness.score.execution.sandbox import bwrap_works

LIMITS = Limits(wall=3.0, cpu=4, memory=512 << 20)
CHECK = "assert answer() == 42\n"
INNOCENT = Program("python", "def answer():\n    return sum([40, 2])\n", CHECK)


@pytest.fixture(params=["bwrap", "rlimit"])
def sandbox(request: pytest.FixtureRequest) -> SandboxName:
    name: SandboxName = request.param
    if name == "bwrap" and not bwrap_works():
        pytest.skip("bubblewrap does not work here")
    return name


@pytest.fixture(autouse=True)
def _nothing_remains() -> Iterator[None]:
    before = _processes(), _mounts(), _run_folders()
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _processes() - before[0]:
        time.sleep(0.05)
    assert _processes() - before[0] == set()
    assert _mounts() == before[1]
    assert _run_folders() == before[2]


def _processes() -> set[int]:
    """Processes below this one, and those of users that only the sandbox makes."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            uid = int(status.split("Uid:")[1].split()[0])
            if uid >= 1_800_000_000 or f"PPid:\t{os.getpid()}\n" in status:
                found.add(int(entry.name))
    return found


def _mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def _run_folders() -> set[str]:
    return {path.name for path in Path("/tmp").glob("harness-run-*")}


# Each body is a whole program; where it says nothing else, its answer would be right.
HARMFUL = {
    "fork_bomb": ("import os\nwhile True:\n    os.fork()\n", {"timeout", "error", "wrong", "out_of_memory"}),
    "fork_bomb_in_test": (
        "import os\ndef answer():\n    while True:\n        try:\n            os.fork()\n        except OSError:\n"
        "            pass\n",
        {"timeout", "error", "wrong", "out_of_memory"},
    ),
    "endless_output": (
        "import os\ndef answer():\n    while True:\n        os.write(1, b'x' * 65536)\n",
        {"error"},
    ),
    "endless_loop": ("def answer():\n    while True:\n        pass\n", {"timeout"}),
    "endless_sleep": ("import time\ndef answer():\n    time.sleep(1000)\n", {"timeout"}),
    "catches_everything": (
        "def answer():\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass\n",
        {"timeout"},
    ),
    "allocates_64_gb": ("def answer():\n    return len(bytearray(64 << 30))\n", {"out_of_memory"}),
    "allocates_in_children": (
        "import os, time\ndef answer():\n    for _ in range(8):\n        if os.fork() == 0:\n"
        "            data = bytearray(200 << 20)\n            time.sleep(60)\n    time.sleep(60)\n",
        {"out_of_memory"},
    ),
    "exits_at_once": ("import sys\nsys.exit(0)\n", {"wrong"}),
    "exits_in_test": ("import sys\ndef answer():\n    sys.exit(0)\n", {"wrong"}),
    "ends_process_in_test": ("import os\ndef answer():\n    os._exit(0)\n", {"wrong"}),
    "kills_itself": ("import os\ndef answer():\n    os.kill(os.getpid(), 9)\n", {"wrong"}),
    "prints_markers": (
        "def answer():\n    print('passed')\n    print('{\"status\": \"passed\"}')\n    return 0\n",
        {"wrong"},
    ),
    "writes_markers_to_every_descriptor": (
        "import json, os\ndef answer():\n    body = json.dumps({'status': 'passed', 'detail': ''}).encode()\n"
        "    for fd in range(0, 64):\n        try:\n            os.write(fd, len(body).to_bytes(8, 'big') + body)\n"
        "        except OSError:\n            pass\n    os._exit(0)\n",
        {"wrong", "error"},
    ),
    "always_equal": (
        "class Right(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\n"
        "def answer():\n    return Right(0)\n",
        {"wrong"},
    ),
    "overrides_assert": (
        "import builtins, sys\nbuiltins.AssertionError = None\nsys.exit = lambda *a: None\n"
        "sys.excepthook = lambda *a: None\ndef answer():\n    return 0\n",
        {"wrong"},
    ),
    "patches_the_judge": (
        "import sys, gc\nfor module in list(sys.modules.values()):\n    for name in list(vars(module)):\n"
        "        if name in ('run_check', 'accept', '_right', 'failure_status'):\n"
        "            setattr(module, name, lambda *a, **k: {'status': 'passed', 'detail': ''})\n"
        "def answer():\n    return 0\n",
        {"wrong"},
    ),
    "looks_for_the_answer": (
        "import gc, sys\nneedle = 'assert ' + 'answer'\ndef answer():\n    frame = sys._getframe()\n    while frame:\n"
        "        if needle in repr(list(frame.f_locals.values())):\n            return 42\n"
        "        frame = frame.f_back\n    for item in gc.get_objects():\n"
        "        if isinstance(item, dict) and 'check' in item and needle in str(item['check']):\n"
        "            return 42\n    return 0\n",
        {"wrong"},
    ),
    "reads_its_parents": (
        "import os\ndef answer():\n    for pid in os.listdir('/proc'):\n        if pid.isdigit() and int(pid) != os.getpid():\n"
        "            for part in ('mem', 'environ', 'fd'):\n                try:\n"
        "                    open(f'/proc/{pid}/{part}', 'rb').read(1)\n                    if part != 'fd':\n"
        "                        return 0\n                except OSError:\n                    pass\n    return 42\n",
        {"passed"},
    ),
    "kills_everybody": (
        "import os, signal\ndef answer():\n    for pid in (-1, os.getppid(), 1):\n        try:\n"
        "            os.kill(pid, signal.SIGKILL)\n        except OSError:\n            pass\n    return 42\n",
        {"error", "wrong", "passed"},
    ),
    "deletes_its_folder": (
        "import os, shutil\ndef answer():\n    shutil.rmtree(os.getcwd(), ignore_errors=True)\n    return 42\n",
        {"passed"},
    ),
    "makes_a_deep_folder": (
        "import os\ndef answer():\n    for _ in range(3000):\n        os.mkdir('d')\n        os.chdir('d')\n"
        "    os.chmod('.', 0)\n    return 42\n",
        {"passed"},
    ),
}


def test_harmful_programs_get_the_right_verdict_beside_innocent_ones(sandbox: SandboxName) -> None:
    programs, allowed = [], []
    for number, (source, statuses) in enumerate(HARMFUL.values()):
        programs.append(Program("python", source, CHECK))
        allowed.append(statuses)
        if number < 20:
            programs.append(INNOCENT)
            allowed.append({"passed"})
    verdicts = execute(programs, limits=LIMITS, sandbox=sandbox)
    names = {
        program.source: name
        for name, (source, _) in HARMFUL.items()
        for program in programs
        if program.source == source
    }
    bad = [
        (names.get(program.source, "innocent"), verdict.status, verdict.detail)
        for program, verdict, statuses in zip(programs, verdicts, allowed, strict=True)
        if verdict.status not in statuses
    ]
    assert bad == []
    assert sum(program is INNOCENT for program in programs) == 20


def test_no_secret_can_be_read(sandbox: SandboxName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sandbox == "rlimit" and os.geteuid() != 0:
        pytest.skip("without root, rlimit does not protect files: its warning says so")
    secret = tmp_path / "receipt.json"
    secret.write_text("the run's receipt")
    secret.chmod(0o600)
    monkeypatch.setenv("API_KEY_OF_TEST", "environment-secret")
    source = f"""
import os, subprocess
def answer():
    found = []
    for path in ("/etc/shadow", os.path.expanduser("~root/.bashrc"), {str(secret)!r}, {str(Path.home() / ".profile")!r}):
        try:
            found.append(open(path).read())
        except OSError:
            pass
    found += [value for value in os.environ.values() if "secret" in value]
    found += [line for line in subprocess.run(["env"], capture_output=True, text=True).stdout.split() if "secret" in line]
    return found or 42
"""
    verdict = python_check(source, CHECK, limits=LIMITS, sandbox=sandbox)
    assert (verdict.status, verdict.detail) == ("passed", "")


def test_nothing_outside_can_be_written(sandbox: SandboxName, tmp_path: Path) -> None:
    if sandbox == "rlimit" and os.geteuid() != 0:
        pytest.skip("without root, rlimit does not protect files: its warning says so")
    victim = tmp_path / "victim"
    victim.write_text("whole")
    victim.chmod(0o644)
    tmp_path.chmod(0o755)
    places = [
        "/",
        "/usr",
        "/etc",
        "/bin",
        "/opt",
        "/dev",
        "/opt/harness/inside",
        str(tmp_path),
        str(Path.home()),
    ]
    source = f"""
import os
def answer():
    written = []
    for place in {places!r}:
        try:
            open(os.path.join(place, "harness-was-here"), "w").close()
            written.append(place)
        except OSError:
            pass
    for link in (os.symlink, os.link):
        try:
            link({str(victim)!r}, "link-" + link.__name__)
            with open("link-" + link.__name__, "w") as file:
                file.write("broken")
            written.append(link.__name__)
        except OSError:
            pass
    return written or 42
"""
    verdict = python_check(source, CHECK, limits=LIMITS, sandbox=sandbox)
    # In a name space of its own the link points nowhere, and a program may create that file in its own /tmp.
    assert victim.read_text() == "whole"
    assert not (tmp_path / "harness-was-here").exists()
    assert verdict.status == "passed", verdict


def test_no_connection_leaves_the_sandbox() -> None:
    if not bwrap_works():
        pytest.skip("bubblewrap does not work here")
    connections: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connections.append(server.accept())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        source = f"""
import socket
def answer():
    try:
        socket.create_connection(("127.0.0.1", {port}), timeout=1)
    except OSError:
        return 42
"""
        verdict = python_check(source, CHECK, limits=LIMITS, sandbox="bwrap")
        stop.set()
        thread.join()
    assert verdict.passed
    assert connections == []


@pytest.mark.parametrize("session", ["os.setsid()", "pass"])
def test_daemons_end_with_their_program(sandbox: SandboxName, session: str) -> None:
    name = f"harness-daemon-{os.getpid()}"
    source = f"""
import os, time
def answer():
    if os.fork() == 0:
        {session}
        if os.fork() == 0:
            os.execv("/bin/sh", ["/bin/sh", "-c", "sleep 60; : {name}"])
        os._exit(0)
    time.sleep(0.2)
    return 42
"""
    assert python_check(source, CHECK, limits=LIMITS, sandbox=sandbox).passed
    running = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert name not in running


HOSTILE_SHELL = {
    "fork_bomb": (
        "answer() { echo 42; }\nbomb() { bomb | bomb & }; bomb; sleep 30\n",
        {"timeout", "wrong", "error", "out_of_memory"},
    ),
    "endless_output": ("while true; do echo harm; done\n", {"error"}),
    "exits_early": ("answer() { echo 42; }\nexit 0\n", {"wrong"}),
    "fills_the_disk": (
        "answer() { echo 42; }\nfor i in 1 2 3 4 5 6 7 8 9; do head -c 60000000 /dev/zero > f$i || true; done\n",
        {"passed", "wrong", "error", "out_of_memory"},
    ),
    "daemon": ("answer() { echo 42; }\n(setsid sleep 60 &) \n", {"passed"}),
}


def test_harmful_scripts_of_another_language(sandbox: SandboxName) -> None:
    tests = "set -e\n[[ $(answer) = 42 ]]\n"
    programs = [Program("sh", source, tests) for source, _ in HOSTILE_SHELL.values()]
    programs += [Program("sh", "answer() { echo 42; }\n", tests)] * 5
    verdicts = execute(programs, limits=LIMITS, sandbox=sandbox)
    found = dict(zip(HOSTILE_SHELL, verdicts, strict=False))
    assert {name: v.status for name, v in found.items() if v.status not in HOSTILE_SHELL[name][1]} == {}
    assert [verdict.status for verdict in verdicts[-5:]] == ["passed"] * 5


def test_rlimit_says_what_it_does_not_protect() -> None:
    with pytest.warns(UserWarning, match="network and the file system"):
        assert choose_sandbox("rlimit") == "rlimit"
