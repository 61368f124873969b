"""Processes as `/proc` shows them, and the end of what a test has started."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent import processes
from ci.agent.processes import (
    Children,
    OomKills,
    Process,
    carries,
    command_of,
    descendants,
    handles,
    holds_pipe,
    oom_kills,
    process_table,
    send_signal,
    signal_name,
)
from support.agent_process import wait_for

pytestmark = [pytest.mark.in_container, pytest.mark.processes]

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def process(pid: int, parent: int) -> Process:
    return Process(pid, parent, pid, alive=True, kernel=False)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(1, 30))
def test_descendants_are_all_whose_line_of_parents_leads_to_the_root(parents: list[int], root: int) -> None:
    table = {pid: process(pid, parent) for pid, parent in enumerate(parents, start=1)}

    def leads_to_root(pid: int) -> bool:
        seen: set[int] = set()
        while pid != root and pid in table and pid not in seen:
            seen.add(pid)
            pid = table[pid].parent
        return pid == root

    assert descendants(table, [root]) == {root, *(pid for pid in table if leads_to_root(pid))}


class TestProc:
    def test_this_process_is_in_the_table_with_its_parent_and_session(self) -> None:
        us = process_table()[os.getpid()]
        assert (us.parent, us.session) == (os.getppid(), os.getsid(0))
        assert us.alive
        assert not us.kernel

    def test_a_zombie_is_not_alive(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        try:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert not process_table()[child.pid].alive
        finally:
            child.wait()

    def test_a_command_with_brackets_and_spaces_in_its_name_does_not_shift_the_fields(
        self, tmp_path: Path
    ) -> None:
        program = tmp_path / "a) R 1 (b"
        program.symlink_to("/bin/sleep")
        with subprocess.Popen([program, "60"]) as child:
            for _ in wait_for("the program"):
                if command_of(child.pid).startswith(str(program)):
                    break
            found = process_table()[child.pid]
            child.kill()
        assert (found.parent, found.alive) == (os.getpid(), True)

    def test_environment_and_pipes_of_another_process(self) -> None:
        output, write_end = os.pipe()
        inode = os.fstat(output).st_ino
        with subprocess.Popen(SLEEP, env={"TOKEN": "abc"}, stdout=write_end) as child:
            os.close(write_end)
            for _ in wait_for("the start of the child"):
                if carries(child.pid, "TOKEN=abc"):
                    break
            assert not carries(child.pid, "TOKEN=ab")
            assert holds_pipe(child.pid, inode)
            assert not holds_pipe(child.pid, inode + 1)
            assert command_of(child.pid).endswith("time.sleep(60)")
            child.kill()
        os.close(output)

    def test_a_process_that_has_ended_has_nothing_and_takes_a_signal(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        assert child.pid not in process_table()
        assert not carries(child.pid, "PATH=")
        assert not holds_pipe(child.pid, 1)
        assert not handles(child.pid, signal.SIGUSR1)
        assert command_of(child.pid) == ""
        send_signal(child.pid, signal.SIGTERM)

    def test_a_handler_of_its_own_is_seen(self) -> None:
        before = signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        try:
            assert not handles(os.getpid(), signal.SIGUSR2)
            signal.signal(signal.SIGUSR2, lambda *_: None)
            assert handles(os.getpid(), signal.SIGUSR2)
        finally:
            signal.signal(signal.SIGUSR2, before)

    def test_signals_have_names_and_unknown_ones_numbers(self) -> None:
        assert signal_name(9) == "SIGKILL"
        assert signal_name(200) == "signal 200"


class TestOomKills:
    """In our own cgroup where it can be read, in its root inside a container, else of the whole machine."""

    V2 = "0::/user.slice/run\n"
    V1 = "12:cpu,cpuacct:/a\n11:memory:/a\n"

    @pytest.mark.parametrize(
        ("files", "kills"),
        [
            (
                {
                    "/proc/self/cgroup": V2,
                    "/sys/fs/cgroup/user.slice/run/memory.events": "oom 9\noom_kill 3\n",
                },
                OomKills(count=3, own=True),
            ),
            (
                {"/proc/self/cgroup": V2, "/sys/fs/cgroup/memory.events": "oom_kill 2\n"},
                OomKills(count=2, own=True),
            ),
            (
                {"/proc/self/cgroup": V2, "/sys/fs/cgroup/unified/memory.events": "oom_kill 4\n"},
                OomKills(count=4, own=True),
            ),
            (
                {
                    "/proc/self/cgroup": V1,
                    "/sys/fs/cgroup/memory/a/memory.oom_control": "under_oom 0\noom_kill 5\n",
                },
                OomKills(count=5, own=True),
            ),
            (
                {"/proc/self/cgroup": V1, "/proc/vmstat": "pgfault 1\noom_kill 6\n"},
                OomKills(count=6, own=False),
            ),
            ({}, OomKills(count=0, own=True)),
        ],
    )
    def test_they_are_counted_where_the_counter_is(
        self, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], kills: OomKills
    ) -> None:
        monkeypatch.setattr(processes, "_read", lambda path: files.get(path, "").encode())
        assert oom_kills() == kills


class TestChildren:
    def spawn(self, children: Children, *argv: str, env: "dict[str, str] | None" = None) -> int:
        """The pid of a test process that runs this."""
        with open(os.devnull, "wb") as out:  # noqa: PTH123  # a descriptor is what is needed
            started = children.spawn(argv, cwd=Path("/"), env=env or {}, out=out.fileno(), keep=out.fileno())
        pid: int = started.pid
        # its exit code is taken by the kernel's own bookkeeping alone: nothing of `subprocess` waits for it
        started.returncode = 0
        return pid

    def test_a_test_process_has_a_session_of_its_own(self) -> None:
        children = Children()
        pid = self.spawn(children, *SLEEP)
        assert process_table()[pid].session == pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def test_orphans_are_reaped_and_the_exit_code_of_a_test_is_left(self) -> None:
        children = Children()
        test = self.spawn(children, sys.executable, "-c", "import sys; sys.exit(7)")
        os.waitid(os.P_PID, test, os.WEXITED | os.WNOWAIT)
        children.reap()
        assert os.waitstatus_to_exitcode(os.waitpid(test, 0)[1]) == 7
        children.forget(test)
        orphan = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
        for _ in wait_for("the orphan's end"):
            children.reap()
            if orphan not in process_table():
                break

    def test_what_belongs_to_a_test_is_found_by_session_descent_and_token(self) -> None:
        children = Children()
        code = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True).wait()"
        token = secrets.token_hex(8)  # this test may run twice on a machine
        argv = [sys.executable, "-c", code, *SLEEP]
        test = self.spawn(children, *argv, env={"A_TOKEN": token})
        other = self.spawn(children, *SLEEP, env={"A_TOKEN": "another"})
        for _ in wait_for("the grandchild"):
            found = children.of_test(test, f"A_TOKEN={token}", 0, alone=False)
            # between its fork and its exec it has the command line of its parent, and then for a moment none
            commands = sorted(
                Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1] for pid in found
            )
            if commands == sorted([argv, [*SLEEP]]):
                break
        assert test in found
        assert other not in found
        beside = children.of_test(test, f"A_TOKEN={token}", 0, alone=True)
        assert other not in beside, "what another attempt has started is not an orphan"
        hit = children.kill(lambda: children.of_test(test, f"A_TOKEN={token}", 0, alone=False))
        assert hit.keys() == found
        assert all("time.sleep(60)" in command for command in hit.values())
        os.kill(other, signal.SIGKILL)
        for pid in (test, other):
            os.waitpid(pid, 0)

    def test_what_cannot_be_killed_is_reported_after_the_last_pass(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(processes, "SWEEP_PAUSE_S", 0)
        passes: list[int] = []

        def find() -> set[int]:
            passes.append(1)
            return {2**22 + 1}  # above the kernel's largest pid

        begin = time.monotonic()
        assert Children().kill(find) == {2**22 + 1: ""}
        assert time.monotonic() - begin < 10
        assert len(passes) == processes.SWEEP_PASSES + 1
        assert f"cannot kill process {2**22 + 1} ()" in capsys.readouterr().err
