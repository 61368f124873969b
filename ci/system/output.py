"""Standard output and standard error that outlive their readers: what cannot be printed ends the printing alone."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Outlet", "finish", "outlive_readers", "say_at_once"]

_STREAMS: Final = {1: "stdout", 2: "stderr"}


class Outlet(io.RawIOBase):
    """A file descriptor that can be written to at all times; once a write has failed, nothing more is shown.

    `lost` says why, and is empty where nothing failed or the reader has left (`| head`), which is no fault.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write some of it; all of it counts as written when it cannot be."""
        view = memoryview(data)
        while True:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                # another process of the same terminal or pipe has made it so
                select.select((), (self._descriptor,), ())
            except OSError as error:
                if error.errno != errno.EPIPE:
                    self.lost = error.strerror or str(error)
                self._silence()
                return view.nbytes

    def _silence(self) -> None:
        """Children that inherit the descriptor are not ended by it either."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)


def outlive_readers() -> tuple[Outlet, ...]:
    """Put outlets under `sys.stdout` and `sys.stderr`; a descriptor that is closed leads nowhere from here on."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # the lowest free number: without it the first file that is opened would get what is printed
            os.open(os.devnull, os.O_RDWR)
    outlets = tuple(Outlet(descriptor) for descriptor in _STREAMS)
    for outlet in outlets:
        name = _STREAMS[outlet.fileno()]
        setattr(sys, name, _stream(outlet, getattr(sys, name)))
    return outlets


def say_at_once(line: str) -> None:
    """A line on standard error out of a signal's handler, which may be in the middle of another one."""
    Outlet(2).write(f"\n{line}\n".encode())


def finish(outlets: Iterable[Outlet]) -> str:
    """Print what is still held back; why something could not be printed, empty where nothing was lost."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return "; ".join(dict.fromkeys(outlet.lost for outlet in outlets if outlet.lost))


def _stream(outlet: Outlet, before: TextIO | None) -> TextIO:
    """A text stream on an outlet that is like the one before it; there is none for a descriptor that was closed."""
    like = before if isinstance(before, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=like.encoding if like else "utf-8",
        errors=like.errors if like else "backslashreplace",
        line_buffering=like.line_buffering if like else False,
        write_through=like.write_through if like else False,
    )
