"""End with the parent, and end cleanly on a signal. Standard library alone, Linux; elsewhere it does nothing.

    python -m ci.system.signals MODULE [ARGUMENTS]

runs a module as `python -m MODULE` does, with both and with inert output in Actions: Nox sessions start pytest this way.
As a plugin of pytest beside xdist (`-p ci.system.signals`) it does the same for the processes that run the tests.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ci.system.environ import read_environ
from ci.system.inert import guard_output

__all__ = [
    "STOP_SIGNALS",
    "die_with_parent",
    "main",
    "parent_command",
    "pytest_configure",
    "pytest_keyboard_interrupt",
    "stop_once",
    "stop_requested",
]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1


def parent_command() -> str:
    """The name of the parent's program, the 15 bytes that the kernel keeps; empty without a `/proc`."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> bool:
    """Have the kernel send us this signal when the parent ends in any way; false where that is not possible.

    The kernel means the *thread* that started us. The setting survives `exec` and is not inherited by
    children.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # noqa: PLC0415 - 10 ms that a listing has no use for

    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        return False
    if os.getppid() != parent:  # it ended before this call
        os.kill(os.getpid(), number)
    return True


def stop_once(note: Callable[[int], None]) -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a KeyboardInterrupt, and let every later one do nothing.

    A second signal is what GitHub sends 7.5 s after the first, and a terminal's Ctrl-C reaches a child twice:
    from the terminal and from Nox. Neither may cut a cleanup that is under way.

    Args:
        note: called with the number of the first signal, before the exception.
    """

    def ignore(_number: int, _frame: FrameType | None) -> None:
        # A function and not SIG_IGN: children that a cleanup starts would inherit SIG_IGN.
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, ignore)
        note(number)
        raise KeyboardInterrupt

    for each in STOP_SIGNALS:
        # `nohup` asks to outlive the terminal. SIGINT is taken even where a shell's `&` has it ignored:
        # who sends it to this process means this process.
        if each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN:
            continue
        signal.signal(each, stop)


def stop_requested() -> Callable[[], bool]:
    """Have SIGINT, SIGTERM and SIGHUP do nothing from now on but turn the function that is returned true."""
    numbers: list[int] = []
    for each in STOP_SIGNALS:
        signal.signal(each, lambda number, _frame: numbers.append(number))
    return lambda: bool(numbers)


def pytest_configure() -> None:
    """Pytest's hook: xdist starts its workers by itself, and SIGTERM would end them without their fixtures' ends."""
    if "PYTEST_XDIST_WORKER" in read_environ():
        stop_once(lambda _number: None)


def pytest_keyboard_interrupt() -> None:
    """Pytest's hook: pass a signal on to xdist's workers, for whose fixtures it does not wait otherwise."""
    if "PYTEST_XDIST_WORKER" in read_environ():
        return
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            for pid in children.read_text(encoding="ascii").split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Run `MODULE [ARGUMENTS]` as the main program, tied to the parent when Nox is above us, its output inert in Actions."""
    if not arguments:
        sys.stderr.write("usage: python -m ci.system.signals MODULE [ARGUMENTS]\n")
        raise SystemExit(2)
    if read_environ().get("NOX_CURRENT_SESSION"):  # else `nohup python -m ... &` would end with its shell
        die_with_parent()
    stop_once(lambda _number: None)
    guard_output(read_environ())
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
