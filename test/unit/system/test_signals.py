"""Dying with the parent and ending calmly, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.system.signals import parent_command

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[3]

# A parent that starts a child in our manner, says its number and waits to be killed.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import signal, time
from ci.system.signals import die_with_parent
assert die_with_parent(signal.SIGTERM)
print("ready", flush=True)
time.sleep(60)
"""
STOPPED = """
import os, pathlib, sys, time
from ci.system.signals import stop_once
# not `print`: a handler that interrupts a print must not print itself
stop_once(lambda number: os.write(1, f"stopped by {number}\\n".encode()))
try:
    os.write(1, b"ready\\n")
    time.sleep(60)
finally:
    time.sleep(0.4)
    print("cleaned up", flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(pid: int, within_s: float = 5) -> bool:
    deadline = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_child_ends_when_its_parent_is_killed(started: list[subprocess.Popen[str]]) -> None:
    parent = start(PARENT, CHILD)
    started.append(parent)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.send_signal(signal.SIGKILL)
    assert wait_until_gone(child)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_and_the_next_ones_do_not_cut_the_cleanup(
    first: signal.Signals, started: list[subprocess.Popen[str]]
) -> None:
    child = start(STOPPED)
    started.append(child)
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    child.send_signal(first)
    assert child.stdout.readline() == f"stopped by {int(first)}\n"
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        child.send_signal(again)
    assert child.stdout.readline() == "cleaned up\n"
    assert child.wait(timeout=5) in {130, -signal.SIGINT}


def test_nohup_is_respected(started: list[subprocess.Popen[str]]) -> None:
    child = start("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + STOPPED)
    started.append(child)
    assert child.stdout
    child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == f"stopped by {int(signal.SIGTERM)}\n"


def test_a_child_of_a_cleanup_can_still_be_stopped(started: list[subprocess.Popen[str]]) -> None:
    code = STOPPED.replace(
        "time.sleep(0.4)",
        "import subprocess; print(subprocess.run([sys.executable, '-c',"
        " 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)']).returncode, flush=True)",
    )
    child = start(code)
    started.append(child)
    assert child.stdout
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    child.stdout.readline()
    assert child.stdout.readline() == f"{-signal.SIGTERM}\n"


def test_the_parents_program_is_known_by_name() -> None:
    code = "from ci.system.signals import parent_command; print(parent_command())"
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1"; true', sys.executable, code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "bash\n"
    assert parent_command()


class TestAsAProgram:
    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if name != "NOX_CURRENT_SESSION"}
        return subprocess.run(
            [sys.executable, "-m", "ci.system.signals", *arguments],
            cwd=ROOT,
            env={**plain, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_a_module_runs_as_the_main_program_with_its_own_words(self, tmp_path: Path) -> None:
        (tmp_path / "shown.py").write_text("import sys\nprint(__name__, sys.argv[1:])\nraise SystemExit(5)\n")
        done = self.run("shown", "-x", "--", "y", PYTHONPATH=str(tmp_path))
        assert (done.returncode, done.stdout) == (5, "__main__ ['-x', '--', 'y']\n")

    def test_without_a_module_it_says_how_it_is_used(self) -> None:
        done = self.run()
        assert done.returncode == 2
        assert "usage: python -m ci.system.signals" in done.stderr

    @pytest.mark.parametrize("session", ["stage_a_amd", ""])
    def test_it_ends_with_its_parent_only_under_nox(
        self, session: str, tmp_path: Path, started: list[subprocess.Popen[str]]
    ) -> None:
        (tmp_path / "waits.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
        code = PARENT.replace('"-c", sys.argv[1]', '"-m", "ci.system.signals", "waits"')
        parent = start(code, PYTHONPATH=str(tmp_path), NOX_CURRENT_SESSION=session)
        started.append(parent)
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        assert wait_until_gone(child, within_s=5 if session else 0.5) is bool(session)
        if not session:
            os.kill(child, signal.SIGKILL)
