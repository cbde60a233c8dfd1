"""Programs that mean harm: no effect outside, the right verdict, and the innocent pass beside them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.score.execution import Limits, Program, SandboxName, choose_sandbox, execute, python_check
from harness.score.execution.sandbox import Agent, bwrap_works

LIMITS = Limits(wall=2.0, cpu=4, memory=512 << 20)
CHECK = "assert answer() == 42\n"
INNOCENT = Program("python", "def answer():\n    return sum([40, 2])\n", CHECK)


@pytest.fixture(params=["bwrap", "rlimit"])
def sandbox(request: pytest.FixtureRequest) -> SandboxName:
    name: SandboxName = request.param
    if name == "bwrap" and not bwrap_works():
        pytest.skip("bubblewrap does not work here")
    return name


@pytest.fixture(autouse=True)
def _nothing_remains(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After each test: no process, mount or file of its runs; other runs of the machine don't count."""
    tmp_path_factory.getbasetemp()  # pytest's own folder is chosen before the folder of temporary files changes
    users: set[int] = set()
    choose_uid = Agent._uid

    def remember(agent: Agent) -> int | None:
        uid = choose_uid(agent)
        if uid and uid != os.geteuid():
            users.add(uid)
        return uid

    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    folder.chmod(0o711)
    monkeypatch.setattr(Agent, "_uid", remember)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    mounts = Path("/proc/self/mountinfo").read_text()
    before = _processes(set())  # a scorer's helper process outlives the tests that asked it
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _processes(users) - before:
        time.sleep(0.05)
    assert _processes(users) <= before
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert list(folder.glob("harness-run-*")) == []
    shutil.rmtree(folder)


def _processes(users: set[int]) -> set[int]:
    """The processes of these users, and the children of this process."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            uid = int(status.split("Uid:")[1].split()[0])
            if uid in users or f"PPid:\t{os.getpid()}\n" in status:
                found.add(int(entry.name))
    return found


def _cases(language: str) -> dict[str, tuple[str, set[str]]]:
    """Programs of the folder `hostile`: name -> (source, the right verdicts, which its first line tells)."""
    found = {}
    for path in sorted((Path(__file__).parent / "hostile").glob(f"*.{language}.txt")):
        source = path.read_text(encoding="utf-8")
        statuses = source.partition("\n")[0].removeprefix("# may end: ").split()
        found[path.name.partition(".")[0]] = source, set(statuses)
    return found


def test_harmful_programs_get_the_right_verdict_beside_innocent_ones(sandbox: SandboxName) -> None:
    programs, allowed = [], []
    harmful = _cases("py")
    for number, (source, statuses) in enumerate(harmful.values()):
        programs.append(Program("python", source, CHECK))
        allowed.append(statuses)
        if number < 20:
            programs.append(INNOCENT)
            allowed.append({"passed"})
    verdicts = execute(programs, limits=LIMITS, sandbox=sandbox)
    names = {source: name for name, (source, _) in harmful.items()}
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
    for path in ("/etc/shadow", "/root/.bashrc", {str(secret)!r}, {str(Path.home() / ".profile")!r}):
        try:
            found.append(open(path).read())
        except OSError:
            pass
    found += [value for value in os.environ.values() if "secret" in value]
    shown = subprocess.run(["env"], capture_output=True, text=True).stdout
    found += [line for line in shown.split() if "secret" in line]
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


def test_harmful_scripts_of_another_language(sandbox: SandboxName) -> None:
    tests = "set -e\n[[ $(answer) = 42 ]]\n"
    cases = _cases("sh")
    programs = [Program("sh", source, tests) for source, _ in cases.values()]
    programs += [Program("sh", "answer() { echo 42; }\n", tests)] * 5
    verdicts = execute(programs, limits=LIMITS, sandbox=sandbox)
    found = dict(zip(cases, verdicts, strict=False))
    assert {name: v.status for name, v in found.items() if v.status not in cases[name][1]} == {}
    assert [verdict.status for verdict in verdicts[-5:]] == ["passed"] * 5


def test_rlimit_says_what_it_does_not_protect() -> None:
    with pytest.warns(UserWarning, match="network and the file system"):
        assert choose_sandbox("rlimit") == "rlimit"
