"""Machines of a test cluster: process, mount and host name spaces of their own on this machine's kernel."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from support.files import wait_for

__all__ = ["VirtualMachine", "command_line", "need_for_machines", "processes_that_run"]

# The first process of a machine: with SIGCHLD ignored, the kernel reaps every orphan that it gets.
_INIT: Final = 'hostname "$0" && trap "" CHLD && exec sleep infinity'


class VirtualMachine:
    """A machine with a host name, processes and mounts of its own; network and files are this machine's.

    It ends with all its processes and mounts when it is switched off, and when the process that started it dies,
    however that happens. Every process in it has another pid here: all pids that this class gives are this machine's.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def on(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def switch_on(self) -> None:
        """Start it; its mounts follow those below folders that are shared mounts here."""
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "slave"),
                *("--mount-proc", "--uts", "sh", "-c", _INIT, self.name),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        wait_for(f"the first process of {self.name}", self._started, 10)

    def _started(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (
            f"{self.name} cannot be started: {self._process.communicate()[1]!r}"
        )
        children = _children(self._process.pid)
        if not children or _command(children[0]) != "sleep":
            return False
        self._init = children[0]
        return True

    def switch_off(self) -> None:
        """Take its power away: every process in it dies at once, and its mounts are gone."""
        if self._process is None:
            return
        if self.on:  # the kernel ends the first process of a name space after all the others
            os.kill(self._init, signal.SIGKILL)
        self._process.communicate(timeout=10)

    def start(
        self, *argv: str, log: IO[bytes] | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command in it; the process that is returned waits for it and ends as it does."""
        return subprocess.Popen(
            self._entered(argv),
            stdin=subprocess.DEVNULL,
            stdout=log or subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=_environ(environ),
            start_new_session=True,
        )

    def run(self, *argv: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a command in it to its end and return its standard output. Raises AssertionError when it fails."""
        done = subprocess.run(
            self._entered(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=_environ(environ),
            check=False,
        )
        assert done.returncode == 0, (
            f"{' '.join(argv)} on {self.name}: exit {done.returncode}: {done.stderr}{done.stdout}"
        )
        return done.stdout

    def _entered(self, argv: Sequence[str]) -> list[str]:
        assert self.on, f"{self.name} is off"
        return ["nsenter", "--target", str(self._init), "--pid", "--mount", "--uts", "--wd=/", *argv]

    def processes(self, word: str = "") -> list[int]:
        """Processes in it, but its first, whose command line has a word."""
        if not self.on:
            return []
        own = _namespace(self._init)
        return [pid for pid in processes_that_run(word) if pid != self._init and _namespace(pid) == own]

    def kill(self, word: str = "") -> list[int]:
        """SIGKILL those processes; returns them."""
        killed = self.processes(word)
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return killed

    def hide(self, folder: Path) -> None:
        """Have the machine see an empty folder in place of this one."""
        self.run("mount", "-t", "tmpfs", "hidden", str(folder))

    def make_read_only(self, folder: Path) -> None:
        """Have the machine unable to write there."""
        self.run("mount", "--bind", str(folder), str(folder))
        self.run("mount", "-o", "remount,bind,ro", str(folder))

    def show(self, folder: Path) -> None:
        """Undo `hide` and `make_read_only`."""
        self.run("umount", "--lazy", str(folder))


def need_for_machines() -> list[str]:
    """Commands that a machine needs and that are missing."""
    return [name for name in ("setpriv", "unshare", "nsenter", "mount") if shutil.which(name) is None]


def _environ(more: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **(more or {})}


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def processes_that_run(word: str) -> list[int]:
    """Processes of this machine whose command line has a word."""
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if word in command_line(pid)]


def command_line(pid: int) -> str:
    """Of a process; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    return ""
