"""uv as a child whose progress is read line by line, and its failures in this project's words."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from ci.errors import InfrastructureError
from ci.system import clock, process

__all__ = ["UvFailedError", "failure_of", "run_uv"]

_POLL_S: Final = 0.2

# What uv prints when something outside it failed: pattern, cause, next command.
_CAUSES: Final = (
    (r"No space left on device|os error 28", "the disk is full", "df -h"),
    (
        r"dns error|Connect|connection|timed? ?out|error sending request|Network|proxy",
        "the package index was not reached",
        "check the network and the proxy, then run the same command again",
    ),
    (r"[Hh]ash mismatch", "the index offers another file than the one that is pinned", "nox -s pins"),
    (
        r"manylinux_2_(\d+)|no wheels with a matching",
        "a package has no wheel for this machine: Linux x86-64 with glibc 2.34 or newer is needed",
        "ldd --version",
    ),
    (r"Permission denied|Read-only file system", "the folder is not writable", "AMD_CI_CACHE=DIR ..."),
)


class UvFailedError(InfrastructureError):
    """uv ended with an error; `printed` is its standard error."""

    printed: str = ""


def run_uv(
    argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], on_line: Callable[[str], None]
) -> None:
    """Run a command of uv's to its end; `on_line` gets each line of its standard error, for progress.

    Raises:
        UvFailedError: it failed, with the likely cause.
        KeyboardInterrupt: we were interrupted; uv and what it started have ended.
    """
    with tempfile.TemporaryFile() as stderr:
        try:
            child = process.start(argv, cwd=cwd, env=environ, stderr=stderr, ends_with_us=True)
        except OSError as error:
            raise InfrastructureError(
                f"cannot start {argv[0]}: {error.strerror}", then="pip install uv"
            ) from error
        lines: list[str] = []
        with child:  # its pipes are closed
            try:
                while child.poll() is None:
                    clock.sleep_s(_POLL_S)
                    _pass_on(stderr, lines, on_line)
            finally:
                process.kill_group(child)
        _pass_on(stderr, lines, on_line)
    if child.returncode:
        raise failure_of(argv, child.returncode, "\n".join(lines))


def failure_of(argv: Sequence[str], code: int | None, printed: str) -> UvFailedError:
    """The error for a command of uv's that failed, by what it printed."""
    words = " ".join(word for word in argv[1:4] if not word.startswith("-"))
    known = ((cause, then) for pattern, cause, then in _CAUSES if re.search(pattern, printed))
    cause, then = next(known, ("not known", "uv --version"))
    said = [line.strip() for line in printed.splitlines() if re.match(r"\s*(error|cause):", line)]
    error = UvFailedError(
        f"uv {words} ended with {code}" + (f": {said[0].removeprefix('error: ')}" if said else ""),
        cause=cause + (f" ({said[-1].removeprefix('cause: ')})" if len(said) > 1 else ""),
        then=then,
    )
    error.printed = printed
    return error


def _pass_on(stderr: IO[bytes], lines: list[str], on_line: Callable[[str], None]) -> None:
    """Hand on the whole lines that were written since the last time."""
    # `pread`: the child writes at the file's offset, which we share
    size = os.fstat(stderr.fileno()).st_size
    whole = os.pread(stderr.fileno(), size, 0).decode(errors="replace").split("\n")
    for line in whole[len(lines) : -1]:
        lines.append(line)
        on_line(line)
