"""What the kernel said about GPUs and memory while an attempt ran."""

import ctypes
import errno
import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

__all__ = ["KernelLog", "ask_syslog", "own_groups"]

KMSG = Path("/dev/kmsg")
# a record is at most this long; of one attempt so many lines are kept
_RECORD_BYTES = 8192
LINES_KEPT = 50
_SYSLOG_READ_ALL, _SYSLOG_SIZE = 3, 10
# the facility of the kernel itself; any process may write lines of others
_KERNEL_FACILITY = 0

_ABOUT_GPU = re.compile(r"amdgpu|\bkfd\b|\[drm|\bmce: |\bEDAC\b|Hardware Error|\bXGMI\b|\bRAS\b")
_PCI = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b")
# of an OOM kill: first who, with the cgroup, then what the kernel did
_OOM_CHOICE = re.compile(r"\boom-kill:.*\btask_memcg=(?P<group>[^,]*)")
_OOM_KILL = re.compile(r"Killed process \d+|\bOut of memory\b")
_STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\] ")

AskSyslog = Callable[[], str]


class KernelLog:
    """The kernel's messages from here on; `unknown` says why there are none to be had, and is empty otherwise."""

    def __init__(self, path: Path = KMSG, ask: "AskSyslog | None" = None) -> None:
        self.unknown = ""
        self._ask = ask or ask_syslog
        self._before = ""
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            self._close()
            self._begin_with_syslog(f"{path}: {error.strerror}")

    def end(self, *, pci: Collection[str] = (), groups: Sequence[str] = ()) -> tuple[str, ...]:
        """The messages since then, the newest kept; call it once.

        Args:
            pci: addresses of the attempt's GPUs; lines about other GPUs are left out. Empty: not known, all stay.
            groups: the memory cgroups that are ours; OOM kills in others are left out.
        """
        if self._descriptor >= 0:
            text = self._records()
            self._close()
        elif not self.unknown:
            text = self._newer()
        else:
            return ()
        return tuple(_relevant(text.splitlines(), frozenset(pci), groups))[-LINES_KEPT:]

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _records(self) -> str:
        """What `/dev/kmsg` has: one record for each read, `6,339,5140900,-;message` and lines that belong to it."""
        lines = []
        while True:
            try:
                record = os.read(self._descriptor, _RECORD_BYTES)
            except BlockingIOError:
                break
            except BrokenPipeError:  # records were lost, the next read has the oldest that is left
                continue
            except OSError as error:
                self.unknown = f"the kernel log was not read to its end: {error.strerror}"
                break
            if not record:
                break
            for line in record.decode("utf-8", "replace").splitlines():
                head, _, message = line.partition(";")
                level = head.partition(",")[0]
                if level.isdecimal() and int(level) >> 3 == _KERNEL_FACILITY:
                    lines.append(message)
        return "\n".join(lines)

    def _begin_with_syslog(self, why: str) -> None:
        try:
            self._before = self._ask()
        except OSError as error:
            self.unknown = f"the kernel log is unknown: {why}; syslog(2): {error.strerror}"

    def _newer(self) -> str:
        """What `dmesg` shows and did not show before; all of it when the last line is gone."""
        try:
            now = self._ask()
        except OSError as error:
            self.unknown = f"the kernel log is unknown: syslog(2): {error.strerror}"
            return ""
        last = self._before.rstrip("\n").rpartition("\n")[2]
        found = now.rfind(last) if last else -1
        newer = now if found < 0 else now[found + len(last) :]
        return "\n".join(_STAMP.sub("", line) for line in newer.splitlines())


def _relevant(lines: Sequence[str], pci: "frozenset[str]", groups: Sequence[str]) -> "list[str]":
    kept = []
    ours = False
    for line in lines:
        choice = _OOM_CHOICE.search(line)
        if choice is not None:
            ours = any(_is_within(choice["group"], group) for group in groups)
        about_memory = choice is not None or _OOM_KILL.search(line) is not None
        addresses = set(_PCI.findall(line))
        elsewhere = bool(pci and addresses) and not addresses & pci
        if (about_memory and ours) or (not about_memory and _ABOUT_GPU.search(line) and not elsewhere):
            kept.append(line)
    return kept


def _is_within(group: str, other: str) -> bool:
    return other != "/" and (group == other or group.startswith(f"{other}/"))


def own_groups(text: str) -> list[str]:
    """The memory cgroups in `/proc/self/cgroup`."""
    rows = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    return [group for _, controllers, group in rows if not controllers or "memory" in controllers.split(",")]


def ask_syslog() -> str:
    """The kernel's ring buffer by syslog(2), as `dmesg` reads it.

    Raises:
        OSError: it is refused.
    """
    library = ctypes.CDLL(None, use_errno=True)
    size = library.klogctl(_SYSLOG_SIZE, None, 0)
    if size < 0:
        raise _error()
    buffer = ctypes.create_string_buffer(size)
    count = library.klogctl(_SYSLOG_READ_ALL, buffer, size)
    if count < 0:
        raise _error()
    return buffer.raw[:count].decode("utf-8", "replace")


def _error() -> OSError:
    number = ctypes.get_errno() or errno.EPERM
    return OSError(number, os.strerror(number))
