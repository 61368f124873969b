"""What Python's faulthandler prints when a signal ends a process, or when a time is over: the frame that ran then."""

import re

from .patterns import NETWORK_FILE
from .tracebacks import FATAL, FATAL_FRAME, Frame, ProcessEnd, RaisedError

__all__ = ["FatalReader", "telling"]

# frames of what runs a test, in which nothing of the test is
_RUNNERS = (
    "/agent.pyz/", "/_pytest/", "/pytest/", "/pluggy/", "/xdist/", "/unittest/", "/multiprocessing/", "/concurrent/futures/",
    "/threading.py", "/runpy.py", "/subprocess.py", "/selectors.py", "/socket.py", "/ctypes/", "/bin/pytest", "/asyncio/",
)  # fmt: skip
_LIBRARY = re.compile(r"/lib/python3\.\d+/(?!site-packages|dist-packages)")
_PROGRESS = re.compile(r"(?:\S+\.py(?:::\S+)? )?[.sxXFE]*\s*(?=Fatal Python error: |Timeout \()")
# pytest-timeout's form: a thread's name, and its frames from the outermost to the innermost, each with its source line
_STACK = re.compile(r"~+ Stack of .+ \(\d+\) ~+$")
_STACK_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$')
_TIME = re.compile(r"Timeout \(\d+:\d\d:\d\d(?:\.\d+)?\)!$|\++ Timeout \++$")


class FatalReader:
    """Reads one dump at a time; `open` while its lines come."""

    def __init__(self) -> None:
        self.open = False
        self.line = 0
        self._message = ""
        self._current = False
        self._frames: list[Frame] = []
        self._other: list[Frame] = []
        self._done: ProcessEnd | None = None
        # what ran when the newest time was over; None when a client of another host did
        self.hung: ProcessEnd | None = None

    def begin(self, number: int, line: str) -> bool:
        """Whether a dump begins with this line."""
        progress = _PROGRESS.match(line)  # pytest had begun a line when the process ended
        line = line[progress.end() :] if progress is not None else line
        fatal = FATAL.match(line)
        if fatal is None and _TIME.match(line) is None:
            return False
        self._message = fatal["message"] if fatal is not None else ""
        self.open, self.line, self._current, self._frames, self._other = True, number, False, [], []
        return True

    def take(self, line: str) -> bool:
        """The next line; false when it cannot be one of the dump."""
        frame = FATAL_FRAME.match(line)
        if frame is not None:
            found = Frame(file=frame["file"], line=int(frame["line"]), function=frame["function"])
            (self._frames if self._current else self._other).append(found)
            return True
        if not self._message and self._takes_stack(line):
            return True
        if line.startswith(("Current thread ", "Thread 0x")):
            self._current = line.startswith("Current thread ")
            if not self._message:  # the main thread is the last one
                self._other = []
            return True
        if not line.strip() and not self._frames:
            return True
        if line.strip() in ("<no Python frame>", "...", "  ..."):
            return True
        self._close()
        return False

    def ended(self) -> ProcessEnd | None:
        """What the dump that has just ended was about, once."""
        if self.open:
            self._close()
        done, self._done = self._done, None
        return done

    def _takes_stack(self, line: str) -> bool:
        frame = _STACK_FRAME.match(line)
        if frame is not None:
            found = Frame(file=frame["file"], line=int(frame["line"]), function=frame["function"])
            self._other.insert(0, found)
        elif _STACK.match(line):
            self._other = []
        return frame is not None or line.startswith(("    ", "~"))

    def _close(self) -> None:
        self.open = False
        if not self._message:
            self._note_hang()
            return
        frame = telling(self._frames or self._other)
        error = RaisedError(
            raises="Fatal Python error", message=self._message, frames=(frame,) if frame is not None else ()
        )
        self._done = ProcessEnd(who="the process", errors=(error,))

    def _note_hang(self) -> None:
        frame = telling(self._other)
        if frame is None:
            return
        # who waits for another host there is not at fault
        waits = any(NETWORK_FILE.search(f"/{each.file}") for each in self._other)
        error = RaisedError(raises="Timeout", message="its time was over", frames=(frame,))
        self.hung = None if waits else ProcessEnd(who="the process", errors=(error,))


def telling(frames: list[Frame]) -> Frame | None:
    """The innermost frame of a test or of what it tests, of frames whose innermost one is the first."""
    ours = [frame for frame in frames if not any(part in f"/{frame.file}" for part in _RUNNERS)]
    inner = [
        frame for frame in ours if _LIBRARY.search(frame.file) is None and not frame.file.startswith("<")
    ]
    return next(iter(inner or ours or frames), None)
