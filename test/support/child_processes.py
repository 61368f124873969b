"""Processes that tests start: with default signals however the tests were started, and never left behind."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

__all__ = ["default_signals", "end_with_the_test", "ended_children", "not_ignored"]

_STARTED: list[subprocess.Popen[bytes]] = []


def end_with_the_test(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Have a process that leads a group of its own killed and waited for after the test, also when it fails."""
    _STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def ended_children() -> Iterator[None]:
    """Kill and wait for what `end_with_the_test` was told: a process that nobody waited for fails a later test."""
    yield
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def not_ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Have these signals do nothing where they are ignored: children inherit that they are ignored, and no handler.

    `nohup` ignores SIGHUP, the `&` of a script SIGINT.
    """
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda _number, _frame: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True, scope="session")
def default_signals() -> Iterator[None]:
    """What tests start gets the signals that tests send, also when the tests were started with `nohup`."""
    with not_ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield
