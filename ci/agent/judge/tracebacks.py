"""Python's tracebacks in a stream of output, and the processes that ended; by structure, never by words in free text."""

import re
import signal
from dataclasses import dataclass, field, replace

__all__ = ["Frame", "ProcessEnd", "ProcessEnds", "RaisedError", "ServerStarts", "short"]

# colours and cursor moves; what is hidden from a terminal, e.g. times of Buildkite
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[\]_P^X][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Z])")
BEGIN = "Traceback (most recent call last):"
# SGLang's own words before it; looked for at the end of what stands before, a search from every place of a long line takes seconds
HIT = re.compile(r"(?P<who>\w{1,100}) hit an exception: $")
_HIT_CHARS = 130
_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_ERROR = re.compile(r"(?P<raises>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$")
CHILD = re.compile(r"Process (?P<who>\S+):$")
# SGLang's word for a process of its own that ended without an exception
CRASHED = re.compile(
    r"(?:\[[^]]*\] )?Subprocess (?P<who>\S+) \(pid=\d+\) crashed with exit code (?P<code>-?\d+)\."
)
# what Python's faulthandler prints when a signal ends a process, e.g. SIGBUS
FATAL = re.compile(r"Fatal Python error: (?P<message>.+)$")
FATAL_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')
CAUSED = "The above exception was the direct cause of the following exception:"
CHAINED = ("During handling of the above exception, another exception occurred:", CAUSED)
# what SGLang's tests print when they start a server, and what tells it from one that is meant to run beside it
LAUNCH = "command="
_ROLE = re.compile(r"--(?:disaggregation-mode|node-rank|base-gpu-id)[= ]\S+")
# a longer line is not one of a traceback that we read
_LINE_BYTES = 16384
# Ray's message goes on with the largest users of memory
_RAY_CHARS = 3000
# frames of each error that matter: the first, and the innermost ones
FRAMES_KEPT = 8
# ends of processes in one attempt that are kept, the first ones after each start of a server
_ENDS_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A line that was running when an error was raised."""

    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        """`sglang/srt/utils/common.py:754, get_device`."""
        return f"{short(self.file)}:{self.line}" + (f", {self.function}" if self.function else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedError:
    """An exception: its class with its module (none for built-in ones), the first line of its message, its innermost frames.

    `caused`: it was raised *from* the one that follows in its chain, and not only while that was handled.
    """

    raises: str
    message: str
    frames: tuple[Frame, ...] = ()
    caused: bool = False

    @property
    def asserted(self) -> Frame | None:
        """The innermost frame outside unittest, whose own frames are those of its assertions."""
        frames = (frame for frame in reversed(self.frames) if frame.file.split("/")[-2:-1] != ["unittest"])
        return next(frames, None)

    def text(self) -> str:
        """`RuntimeError: no accelerator (sglang/srt/utils/common.py:754, get_device)`."""
        words, last = self.words, self.asserted
        return words if last is None else f"{words} ({last.place})"

    @property
    def words(self) -> str:
        """`RuntimeError: no accelerator`."""
        return f"{self.raises}: {self.message}" if self.message else self.raises


def short(file: str) -> str:
    """The last parts of a path, from the package on where it is an installed one."""
    _, package, rest = file.rpartition("site-packages/")
    return rest if package else "/".join(file.split("/")[-4:])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnd:
    """A process that ended; `errors` begins with the exception that ended it, what that was raised over follows.

    `exit_code` is that of one that ended without an exception, negative for a signal; `errors` is empty then.
    """

    who: str
    errors: tuple[RaisedError, ...] = ()
    script: str = ""
    exit_code: int | None = None

    def text(self) -> str:
        """Who it was, and the exception or the signal."""
        return f"{self.who} ended first: {self.errors[0].text() if self.errors else self._end()}"

    def _end(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"exit code {self.exit_code}, without an exception"
        try:
            return f"signal {signal.Signals(-self.exit_code).name}"
        except ValueError:
            return f"signal {-self.exit_code}"


@dataclass(slots=True, kw_only=True)
class Block:
    """A traceback while its lines come in; `errors` in the order of the text."""

    who: str
    errors: list[RaisedError] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    first: Frame | None = None
    in_frames: bool = True
    chained: str = ""
    followed: bool = False
    exit_code: int | None = None

    def chain(self) -> tuple[RaisedError, ...]:
        """The error that the traceback ends with, then what each was raised over."""
        return tuple(reversed(self.errors))

    def go_on(self) -> bool:
        """Another traceback begins; whether it is one of this chain."""
        if not self.chained or self.in_frames:
            return False
        self.frames, self.first, self.in_frames, self.followed = [], None, True, False
        return True

    def extend(self, line: str) -> bool:
        """A line after the error; true when it goes on with a message that is not complete yet."""
        last = self.errors[-1] if self.errors else None
        if last is None or self.chained or not line.strip():
            return False
        of_ray = last.raises.startswith("ray.") and len(last.message) < _RAY_CHARS
        of_rccl = "NCCL" in last.message and line.startswith(("nccl", "Last error:"))
        if not (last.message.endswith(":") or of_rccl or of_ray):
            return False
        self.errors[-1] = replace(last, message=f"{last.message} {line.strip()}")
        return True

    def take(self, line: str) -> bool:
        """The next line; false when it cannot be one of this traceback."""
        frame = _FRAME.match(line)
        if frame is not None:
            found = Frame(file=frame["file"], line=int(frame["line"]), function=frame["function"] or "")
            self.first = self.first or found
            self.frames = [*self.frames, found][-FRAMES_KEPT:]
            return True
        if line.startswith("  "):  # source lines, carets, repeated frames
            return True
        error = _ERROR.match(line)
        if error is None or self.first is None:
            return False
        message = (error["message"] or "").strip()
        caused = self.chained == CAUSED
        raised = RaisedError(
            raises=error["raises"], message=message, frames=tuple(self.frames), caused=caused
        )
        self.errors.append(raised)
        self.in_frames, self.chained = False, ""
        return True

    def end(self) -> ProcessEnd | None:
        """The end of a process; None for an exception that was caught and only printed."""
        if self.exit_code is not None:
            return ProcessEnd(who=self.who, exit_code=self.exit_code)
        if not self.errors or self.in_frames or self.first is None:
            return None
        uncaught = self.first.function == "<module>" or self.first.file == "<frozen runpy>"
        if not (self.who or uncaught):
            return None
        return ProcessEnd(
            who=self.who or "the process",
            errors=self.chain(),
            script=self.first.file if self.first.function == "<module>" else "",
        )


class ServerStarts:
    """Tells servers that are started again from those that are started beside others, e.g. prefill and decode."""

    def __init__(self) -> None:
        self._roles: set[tuple[str, ...]] = set()

    def is_again(self, command: str) -> bool:
        """Whether the server takes the place of all before it; true for the first one."""
        role = tuple(sorted(_ROLE.findall(command)))
        again = not role or not self._roles or role in self._roles
        self._roles = {role} if again else self._roles | {role}
        return again


class ProcessEnds:
    """Reads output as it comes, and remembers which processes ended and by what, in order."""

    def __init__(self) -> None:
        self._rest = b""
        self._ends: list[Block] = []
        self._block: Block | None = None
        self._who = ""
        # of a fatal error until the frame is read that it happened in
        self._fatal = ""
        self._in_fatal_thread = False
        self._launched: int | None = None
        self._starts = ServerStarts()
        self._case_began = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LINE_BYTES:]
        for line in lines:
            self._take(ESCAPES.sub("", line[-_LINE_BYTES:].decode("utf-8", "replace")).rstrip("\r"))

    def close(self) -> None:
        """The output has ended; a last line without a line break counts."""
        self.feed(b"\n")

    def begin_case(self) -> None:
        """What ends from here on belongs to the next case."""
        self._case_began = len(self._ends)

    def first(self) -> ProcessEnd | None:
        """The first process that ended under this case; where none did, since the start of the server that cases share."""
        found = self.first_of_case()
        return found if found is not None or self._launched is None else self._first_since(self._launched)

    def first_of_case(self) -> ProcessEnd | None:
        """The first process that ended since the last case ended or the last server was started."""
        return self._first_since(max(self._case_began, self._launched or 0))

    def _first_since(self, since: int) -> ProcessEnd | None:
        ends = (block.end() for block in self._ends[since:])
        return next((end for end in ends if end is not None), None)

    def last_of(self, script: str) -> ProcessEnd | None:
        """The exception that ended this program, if its traceback is the last of the output.

        One that the program prints itself is the same only when nothing but its end follows.
        """
        newest = self._ends[-1] if self._ends else None
        end = newest.end() if newest is not None and not newest.followed else None
        return end if end is not None and end.script == script else None

    def _take(self, line: str) -> None:
        began = _who_raised(line)
        if self._fatal:
            self._in_fatal(line)
        elif (fatal := FATAL.match(line)) is not None:
            self._fatal, self._in_fatal_thread, self._block = fatal["message"], False, None
        elif began is not None:
            self._open(began or self._who)
        elif self._block is not None and self._block.in_frames:
            if not self._block.take(line):  # another process wrote into it
                self._block = None
        elif line.startswith(LAUNCH):
            self._block = None
            if self._starts.is_again(line):
                self._launched = len(self._ends)
        elif line in CHAINED and self._block is not None:
            self._block.chained = line
        elif (crashed := CRASHED.match(line)) is not None:
            self._keep(Block(who=crashed["who"], exit_code=int(crashed["code"]), in_frames=False))
        elif line.strip() and self._ends:
            self._ends[-1].followed = True
        child = CHILD.match(line)
        self._who = child["who"] if child is not None else ""

    def _in_fatal(self, line: str) -> None:
        frame = FATAL_FRAME.match(line)
        if frame is not None and self._in_fatal_thread:
            at = Frame(file=frame["file"], line=int(frame["line"]), function=frame["function"])
            error = RaisedError(raises="Fatal Python error", message=self._fatal, frames=(at,))
            self._keep(Block(who="the process", errors=[error], first=at, in_frames=False))
            self._fatal = ""
        elif line.startswith("Current thread "):
            self._in_fatal_thread = True
        elif line.strip() and frame is None and not line.startswith("Thread "):
            self._fatal = ""

    def _open(self, who: str) -> None:
        if self._block is None or not self._block.go_on():
            self._keep(Block(who=who))

    def _keep(self, block: Block) -> None:
        self._block = block
        if len(self._ends) < _ENDS_KEPT:
            self._ends.append(block)


def _who_raised(line: str) -> str | None:
    """Who is named at the head of a traceback, empty for nobody; None for any other line."""
    if not line.endswith(BEGIN):
        return None
    before = line.removesuffix(BEGIN)
    hit = HIT.search(before[-_HIT_CHARS:])
    if hit is not None:
        return hit["who"]
    return None if before else ""
