"""The one door to subprocesses. Argv lists only."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from ci.system import clock
from ci.system.signals import die_with_parent

__all__ = ["PROBE_S", "Completed", "Process", "attached", "become", "capture", "kill_group", "start"]

# a program that answers at once; an interpreter on a cold network file system starts slowly
PROBE_S = 60.0
# What `start` returns: callers annotate with it and never open this door themselves.
Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a captured command ended; `code` is None when it could not be started or timed out."""

    argv: tuple[str, ...]
    code: int | None
    stdout: bytes
    stderr: bytes
    why: str = ""

    @property
    def text(self) -> str:
        """Standard output as text, invalid bytes replaced, without the last line break."""
        return self.stdout.decode(errors="replace").rstrip("\n")


def capture(
    argv: Sequence[str],
    *,
    timeout_s: float = PROBE_S,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    own_session: bool = False,
) -> Completed:
    """Run a command to its end and keep what it printed; never raises for a command that is missing or hangs.

    With `own_session` a terminal's Ctrl-C does not reach it: what it has begun it ends.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=dict(env) if env is not None else None,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            start_new_session=own_session,
        )
    except OSError as error:
        return Completed(
            argv=tuple(argv), code=None, stdout=b"", stderr=b"", why=f"{argv[0]}: {error.strerror}"
        )
    except subprocess.TimeoutExpired:
        why = f"{argv[0]}: no answer within {timeout_s:g} s"
        return Completed(argv=tuple(argv), code=None, stdout=b"", stderr=b"", why=why)
    return Completed(argv=tuple(argv), code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stderr: IO[bytes],
    ends_with_us: bool = False,
) -> Process:
    """Start a command in a session of its own, standard input and output as pipes.

    A session of its own keeps a terminal's Ctrl-C away from it: we decide how it ends. `ends_with_us` is for a program that
    does not end with its standard input: it gets SIGTERM when we are killed. Only for the main thread: the kernel means the
    thread that starts it.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=die_with_parent if ends_with_us else None,  # noqa: PLW1509  # one thread, as in `attached`
    )


def attached(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stop_s: float,
    poll_s: float,
    for_people: bool = False,
) -> int:
    """Run a command on our own terminal to its end; returns its exit code, negative for a signal's number.

    It ends with us, however we end. It leads a process group of its own: when we are interrupted the whole group gets
    SIGTERM and has `stop_s` seconds to end, looked at every `poll_s`. With `for_people` its standard output goes to our standard error.

    Raises:
        OSError: the program cannot be started.
        KeyboardInterrupt: we were interrupted; the command and what it started in its group have ended.
    """
    child = subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if for_people else None,
        process_group=0,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one thread, and no other way covers our own SIGKILL
    )
    try:
        return child.wait()
    except KeyboardInterrupt:
        _end_group(child, stop_s, poll_s)
        raise


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program.

    Raises:
        OSError: the program cannot be started.
    """
    os.execve(argv[0], list(argv), dict(env))  # noqa: S606 - no shell, as everywhere


def kill_group(process: Process) -> None:
    """End a command of `start` with what it has started in its session, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_group(child: Process, stop_s: float, poll_s: float) -> None:
    """SIGTERM to a child's group, and SIGKILL to what is left of it after `stop_s` seconds."""
    deadline_s = clock.monotonic_s() + stop_s
    number = int(signal.SIGTERM)
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(child.pid, number)
            # 0 only asks whether a process is left
            number = int(signal.SIGKILL) if clock.monotonic_s() >= deadline_s else 0
            clock.sleep_s(poll_s)
            child.poll()
    child.wait()
