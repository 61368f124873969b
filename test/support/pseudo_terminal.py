"""A command on a terminal of some size: what it prints, keys that are pressed, and a window that is resized."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.child_processes import end_with_the_test

__all__ = ["OnTerminal"]

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))|\r")
_SHOW_CURSOR = "\x1b[?25h"


class OnTerminal:
    """One command with a terminal as its standard streams."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], columns: int, rows: int = 40
    ) -> None:
        self._main, second = pty.openpty()
        self._raw = b""
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **env},
            stdin=second,
            stdout=second,
            stderr=second,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C needs it
        )
        os.close(second)
        end_with_the_test(self.process)

    def resize(self, columns: int, rows: int = 40) -> None:
        """As a person does it with a window."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: bytes) -> None:
        """Type; `\\x03` is Ctrl-C."""
        os.write(self._main, key)

    def wait_for(self, words: str, *, within_s: float = 120) -> float:
        """Read until the words are printed; the seconds that it took."""
        began_s = time.monotonic()
        while words not in self.text:
            left_s = within_s - (time.monotonic() - began_s)
            if left_s < 0 or not self._read(left_s):
                raise AssertionError(f"{words!r} was not shown:\n{self.text}")
        return time.monotonic() - began_s

    def end(self, *, within_s: float = 120) -> int:
        """Read to the end; the exit code."""
        deadline_s = time.monotonic() + within_s
        while self._read(deadline_s - time.monotonic()):
            pass
        os.close(self._main)
        return self.process.wait(timeout=10)

    def kill(self) -> None:
        """End the whole group."""
        os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def text(self) -> str:
        """All of it, without colours and cursor movements."""
        return _CONTROL.sub("", self._raw.decode(errors="replace"))

    @property
    def lines_at_end(self) -> list[str]:
        """What was printed after the live part was taken away."""
        last = self._raw.decode(errors="replace").rpartition(_SHOW_CURSOR)[2]
        return [line for line in _CONTROL.sub("", last).split("\n") if line.strip()]

    def _read(self, within_s: float) -> bool:
        if not select.select([self._main], [], [], max(0.0, within_s))[0]:
            raise AssertionError(f"nothing more came:\n{self.text}")
        try:
            data = os.read(self._main, 65536)
        except OSError:  # the last process that had it is gone
            return False
        self._raw += data
        return bool(data)
