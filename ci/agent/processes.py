"""Processes: what `/proc` shows of them, signals, and all that the agent has started or adopted."""

import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .events import complain

# a fork between listing and killing escapes one pass; all passes, before and after the last event, stay below the two
# seconds that a stop leaves
SWEEP_PASSES = 20
SWEEP_PAUSE_S = 0.05
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; a zombie is not alive."""

    pid: int
    parent: int
    session: int
    alive: bool
    kernel: bool


def process_table() -> dict[int, Process]:
    """Every process that `/proc` shows."""
    table = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:  # noqa: PTH208 - ten times a second
        stat = _read(f"/proc/{pid}/stat")
        if stat:  # else it stopped in the meantime
            # the command is in brackets and may itself hold spaces and brackets
            state, parent, _, session, _, _, flags = stat[stat.rindex(b")") + 2 :].split()[:7]
            kernel = bool(int(flags) & KERNEL_THREAD)
            table[pid] = Process(pid, int(parent), int(session), alive=state not in b"ZX", kernel=kernel)
    return table


def descendants(table: Mapping[int, Process], roots: Iterable[int]) -> set[int]:
    """These processes and all below them."""
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def _read(path: str) -> bytes:
    """A file of `/proc`; empty when the process has ended or is another user's."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def carries(pid: int, variable: str) -> bool:
    """Whether the process was started with this `NAME=value` in its environment."""
    return variable.encode() in _read(f"/proc/{pid}/environ").split(b"\0")


def holds_pipe(pid: int, inode: int) -> bool:
    """Whether the process has this pipe open."""
    try:
        return any(str(entry.readlink()) == f"pipe:[{inode}]" for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for this signal."""
    caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)$", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def command_of(pid: int) -> str:
    """The command line of a process, cut to 300 characters; empty when it has ended."""
    return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()[:300]


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended is ignored."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKills:
    """How many processes the kernel has killed for lack of memory; `own`: in our cgroup, else on the whole machine."""

    count: int
    own: bool


def oom_kills() -> OomKills:
    """The count of our own cgroup where it can be read, in its root inside a container, else the machine's."""
    counters = []
    for line in _read("/proc/self/cgroup").decode().splitlines():
        _, controllers, group = line.split(":", 2)
        # inside a container the group's own path may not be there, only its root
        if not controllers:
            mounts = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
            counters += [f"{mount}{path}/memory.events" for mount in mounts for path in (group, "")]
        elif "memory" in controllers.split(","):
            counters += [f"/sys/fs/cgroup/memory{path}/memory.oom_control" for path in (group, "")]
    for counter in (*counters, "/proc/vmstat"):
        found = re.search(rb"^oom_kill (\d+)$", _read(counter), re.MULTILINE)
        if found is not None:
            return OomKills(count=int(found[1]), own=counter in counters)
    return OomKills(count=0, own=True)


def prctl(option: int, value: int) -> None:
    """Set a process attribute; where the kernel refuses, print that and go on: the sweeps still work."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        complain(f"prctl({option}, {value}) failed: {os.strerror(ctypes.get_errno())}")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def leftover_list(
    commands: Mapping[int, str],
    paths: Sequence[str] = (),
    elsewhere: "Mapping[int, Sequence[str]] | None" = None,
) -> list[dict[str, object]]:
    """Processes that were killed, and files that were removed, here and `elsewhere`, by the number of the node."""
    killed: list[dict[str, object]] = [
        {"pid": pid, "command": command, "path": ""} for pid, command in commands.items()
    ]
    removed = [{"pid": 0, "command": "", "path": path} for path in paths]
    there = [
        {"pid": 0, "command": "", "path": path, "node": node}
        for node, found in (elsewhere or {}).items()
        for path in found
    ]
    return [*killed, *removed, *there]


class Children:
    """Every process that the agent started or adopted.

    The agent is a child subreaper: what a test leaves behind becomes its child. Test processes are known here by
    their pid, so that reaping an orphan never takes the exit code of a test away from its `Popen`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tests: set[int] = set()

    def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], out: int, keep: int) -> Any:
        """Start a test process in a session of its own; its output goes to `out`, and `keep` stays open in it."""
        with self._lock:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=(keep,),
                start_new_session=True,
            )
            self._tests.add(process.pid)
        return process

    def forget(self, pid: int) -> None:
        """The exit code of this test process has been taken."""
        with self._lock:
            self._tests.discard(pid)

    def reap(self) -> None:
        """Reap adopted orphans at once: a test that polls until a process is gone must not wait for a zombie."""
        with self._lock:
            try:
                while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    if dead.si_pid in self._tests:
                        return  # its own thread reaps it, within one poll
                    os.waitpid(dead.si_pid, os.WNOHANG)
            except ChildProcessError:
                return

    def of_test(self, test: int, variable: str, pipe: int, *, alone: bool) -> set[int]:
        """The running processes of an attempt.

        They are known by descent, by session, by the attempt's token in their environment, and orphans by the output
        pipe, or by there being no other attempt. The token alone is not enough: `setproctitle`, which SGLang's
        schedulers call, writes over the environment that `/proc` shows.
        """
        table = process_table()
        us = os.getpid()
        with self._lock:
            others = self._tests - {test}
        roots = set()
        for process in table.values():
            pid = process.pid
            if process.kernel or pid == us or pid in others:
                continue
            orphan = process.parent == us and (alone or holds_pipe(pid, pipe))
            if orphan or test in (pid, process.session) or carries(pid, variable):
                roots.add(pid)
        return {pid for pid in descendants(table, roots) if pid in table and table[pid].alive}

    def of_run(self, variable: str) -> set[int]:
        """The running processes below the agent, and all that carry the run's token but those above it."""
        table = process_table()
        found = descendants(table, [os.getpid()])
        found |= {pid for pid, process in table.items() if not process.kernel and carries(pid, variable)}
        above = os.getpid()
        while above in table:
            found.discard(above)
            above = table[above].parent
        return {pid for pid in found if table[pid].alive}

    def kill(self, find: Callable[[], set[int]]) -> dict[int, str]:
        """SIGKILL what `find` finds until a pass finds nothing; the command of every process hit, by pid.

        A fork between listing and killing escapes one pass.
        """
        hit: dict[int, str] = {}
        for _ in range(SWEEP_PASSES):
            found = find()
            if not found:
                return hit
            # before the first kill: a parent may end with its child
            hit |= {pid: command_of(pid) for pid in found - hit.keys()}
            for pid in found:
                send_signal(pid, signal.SIGKILL)
            time.sleep(SWEEP_PAUSE_S)
            self.reap()
        for pid in find():
            complain(f"cannot kill process {pid} ({hit.get(pid, '')}): it may be inside a driver call")
        return hit
