"""Where a test hangs: the stacks of all threads of its processes, taken before they are ended."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .judge.tracebacks import Frame, short
from .processes import command_of, handles, send_signal

__all__ = ["Hang", "Stack", "parse_stacks"]

# All that is done here is over after these times, whatever a process does.
ANSWER_S = 1.0
PY_SPY_S = 6.0
PROCESSES = 32
THREADS = 32
# other processes that are worth a line of evidence
OTHERS = 3
COMMAND_CHARS = 120

_FAULTHANDLER = re.compile(r"(?P<which>Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):$")
_FAULTHANDLER_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')
_PY_SPY = re.compile(r'Thread \S+ \([\w+ ]*\)(?:: "(?P<name>.*)")?$')
_PY_SPY_FRAME = re.compile(r"    (?P<function>.+) \((?P<file>.+):(?P<line>\d+)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One thread, its innermost frame first. `leads`: it is the main thread, or the one that answered."""

    leads: bool
    frames: tuple[Frame, ...]


def parse_stacks(text: str) -> list[Stack]:
    """The stacks in what Python's faulthandler or py-spy prints, those of leading threads first."""
    found: list[tuple[bool, list[Frame]]] = []
    open_ = False
    for line in text.splitlines():
        head, spied = _FAULTHANDLER.search(line), _PY_SPY.match(line)
        if head is not None or spied is not None:
            leads = head["which"] != "Thread" if head is not None else spied["name"] == "MainThread"  # type: ignore[index]  # one of the two
            found.append((leads, []))
            open_ = True
            continue
        frame = _FAULTHANDLER_FRAME.match(line) or _PY_SPY_FRAME.match(line)
        open_ = open_ and frame is not None
        if open_ and frame is not None:
            found[-1][1].append(
                Frame(file=frame["file"], line=int(frame["line"]), function=frame["function"])
            )
    stacks = [Stack(leads=leads, frames=tuple(frames)) for leads, frames in found if frames]
    return sorted(stacks, key=lambda stack: not stack.leads)


class Hang:
    """The processes of one attempt that did not end in time; `feed` gets whatever they print meanwhile."""

    def __init__(self, root: Path, test: str, *, py_spy: str | None = None) -> None:
        self._root = root
        self._test = root / test
        self._py_spy = py_spy or _find_py_spy()
        self._printed = bytearray()
        self._spied: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> None:
        """Take output of the test."""
        self._printed += data

    def take(
        self,
        test_pid: int,
        pids: Iterable[int],
        *,
        may_abort: Callable[[int], bool],
        write: Callable[[str], None],
        pump: Callable[[float], None],
    ) -> None:
        """Have every process say where it is: by itself where it can, by py-spy, else as the kernel shows it.

        Args:
            test_pid: the test's own process.
            pids: all processes of the attempt.
            may_abort: whether a Python process that can be asked in no other way may be ended by SIGABRT, on which it prints its
                stacks: never one that has a GPU to release.
            write: takes text for the log.
            pump: reads output for so many seconds.
        """
        todo = sorted(pids, key=lambda pid: (pid != test_pid, pid))[:PROCESSES]
        commands = {pid: command_of(pid)[:COMMAND_CHARS] for pid in todo}
        write(f"\n[agent] no end in time; where its {len(todo)} processes are:\n")
        for pid in [pid for pid in todo if _is_ours(pid) and handles(pid, signal.SIGUSR1)]:
            write(f"[agent] process {pid}, {commands[pid]}\n")
            before = len(self._printed)
            send_signal(pid, signal.SIGUSR1)
            self._wait(pump, lambda before=before: len(self._printed) > before)  # type: ignore[misc]  # a default
            todo.remove(pid)
        pythons = [pid for pid in todo if _is_python(pid)]
        for pid, text in self._spy(pythons, pump):
            write(f"[agent] process {pid}, {commands[pid]}\n{text}\n")
            self._spied.append((f"process {pid} ({commands[pid]})", text))
            todo.remove(pid)
        for pid in todo:
            write(f"[agent] process {pid}, {commands[pid]}\n{_as_the_kernel_shows(pid)}")
        aborted = [pid for pid in pythons if pid in todo and may_abort(pid) and handles(pid, signal.SIGABRT)]
        for pid in aborted:
            send_signal(pid, signal.SIGABRT)
        if aborted:
            self._wait(pump, lambda: not any(map(_is_alive, aborted)))

    def evidence(self, *, server_logs: Collection[str] = ()) -> tuple[str, ...]:
        """Where the test hangs, its own innermost line first; then other processes, from their stacks in these texts too."""
        stacks = parse_stacks(self._printed.decode("utf-8", "replace"))
        spied = [(who, parse_stacks(text)) for who, text in self._spied]
        own = self._own([*stacks, *(stack for _, each in spied for stack in each)])
        lines = [] if own is None else [_words(*own)]
        others = [("another process", stack) for stack in stacks if stack.leads]
        others += [(who, each[0]) for who, each in spied if each]
        others += [
            ("the server", stack) for text in server_logs for stack in parse_stacks(text) if stack.leads
        ]
        found = (
            f"{who}: {_place(stack.frames[0])}" for who, stack in others if own is None or stack is not own[0]
        )
        return (*lines, *list(dict.fromkeys(found))[:OTHERS])

    def _own(self, stacks: Collection[Stack]) -> tuple[Stack, Frame] | None:
        """The test's stack, and its innermost frame that is the test's own or at least the tree's."""
        for is_own in (self._is_test, self._is_tree):
            for stack in stacks:
                frame = next((frame for frame in stack.frames if is_own(frame)), None)
                if frame is not None:
                    return stack, frame
        return None

    def _is_test(self, frame: Frame) -> bool:
        return Path(frame.file) == self._test

    def _is_tree(self, frame: Frame) -> bool:
        return Path(frame.file).is_relative_to(self._root) and "site-packages" not in frame.file

    @staticmethod
    def _wait(pump: Callable[[float], None], done: Callable[[], bool]) -> None:
        """Read output until something has happened, and then what there is."""
        until = time.monotonic() + ANSWER_S
        while not done() and time.monotonic() < until:
            pump(0.05)
        pump(0.1)

    def _spy(self, pids: Collection[int], pump: Callable[[float], None]) -> Iterator[tuple[int, str]]:
        """What py-spy prints of these processes, all asked at a time; those that it cannot read are left out."""
        if self._py_spy is None:
            return
        argv = [self._py_spy, "dump", "--nonblocking", "--full-filenames", "--pid"]
        try:
            asked = {
                pid: subprocess.Popen(
                    [*argv, str(pid)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                for pid in pids
            }
        except OSError:
            return
        until = time.monotonic() + PY_SPY_S
        for pid, process in asked.items():
            while process.poll() is None and time.monotonic() < until:
                pump(0.05)
            process.kill()
            # a dump is smaller than a pipe holds, or it is cut
            text = process.communicate()[0].decode("utf-8", "replace")
            if parse_stacks(text):
                yield pid, text


def _words(stack: Stack, frame: Frame) -> str:
    """`hangs in test_a (test/test_a.py:12), inside wait (threading.py:320)`."""
    inner = stack.frames[0]
    inside = "" if inner == frame else f", inside {_place(inner)}"
    return f"hangs in {_place(frame)}{inside}"


def _place(frame: Frame) -> str:
    return f"{frame.function} ({short(frame.file)}:{frame.line})"


def _find_py_spy() -> str | None:
    """The engine's own, else one on the PATH."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")


def _is_ours(pid: int) -> bool:
    """Whether it is our child mode or a fork of it, which answers SIGUSR1 with its stacks."""
    return "\0--child\0pytest\0" in _text(pid, None, "cmdline")


def _is_python(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.startswith("python")
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    return bool(_fields(pid).get("State", "Z")[:1] not in "ZX")


def _fields(pid: int, thread: int | None = None) -> dict[str, str]:
    """`/proc/PID/status` as a table; empty when there is no such process."""
    lines = (line.partition(":") for line in _text(pid, thread, "status").splitlines())
    return {key: value.strip() for key, _, value in lines}


def _text(pid: int, thread: int | None, name: str) -> str:
    of = f"task/{thread}/{name}" if thread is not None else name
    try:
        return Path(f"/proc/{pid}/{of}").read_text(errors="replace")
    except OSError:
        return ""


def _as_the_kernel_shows(pid: int) -> str:
    """State and waiting place of each thread, with its kernel stack where we may read it."""
    try:
        threads = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return "  it has ended\n"
    shown = []
    for thread in threads[:THREADS]:
        fields = _fields(pid, thread)
        waits = _text(pid, thread, "wchan") or "unknown"
        state = fields.get("State", "?")
        shown.append(
            f"  thread {thread} {fields.get('Name', '')}: {state}, {'not waiting' if waits == '0' else f'waits in {waits}'}"
        )
        shown += [f"      {line}" for line in _text(pid, thread, "stack").splitlines()]
    if len(threads) > THREADS:
        shown.append(f"  and {len(threads) - THREADS} more threads")
    return "\n".join(shown) + "\n"
