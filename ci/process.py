"""The one door to subprocesses. Argv lists only."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Completed", "Process", "capture", "start"]

# What `start` returns: callers annotate with it and never open this door themselves.
Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a captured command ended; `code` is None when it could not be started or ran out of time."""

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
    argv: Sequence[str], *, timeout_s: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Completed:
    """Run a command to its end and keep what it printed; never raises for a command that is missing or hangs."""
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        return Completed(
            argv=tuple(argv), code=None, stdout=b"", stderr=b"", why=f"{argv[0]}: {error.strerror}"
        )
    except subprocess.TimeoutExpired:
        why = f"{argv[0]}: no answer within {timeout_s:g} s"
        return Completed(argv=tuple(argv), code=None, stdout=b"", stderr=b"", why=why)
    return Completed(argv=tuple(argv), code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def start(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: IO[bytes]) -> Process:
    """Start a command in a session of its own, standard input and output as pipes.

    A session of its own keeps a terminal's Ctrl-C away from it: we decide how it ends.

    Raises:
        OSError: the program can't be started.
    """
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
