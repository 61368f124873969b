"""What a log holds that may be evidence: cases that failed, processes that ended, errors, messages of GPU, kernel and tools."""

from .cases import CaseReader
from .evidence import End, Message, Reading
from .fatal import FatalReader
from .holders import HolderReader
from .lines import error_of, is_retried, lines_of, without_prefix
from .patterns import (
    BIND,
    BOX,
    BRANCH,
    CHILD_FAILED,
    CLOSING,
    COMMAND,
    DIGITS,
    GPU,
    GPU_PIECES,
    GROUP,
    HIT,
    HIT_PIECES,
    KERNEL,
    KERNEL_PIECES,
    MODEL,
    NAMED,
    ONE_LINERS,
    QUOTE,
    READY,
    RETRIED_METHOD,
    SERVER_PIECES,
    SERVES,
    SIGNAL_PIECES,
    SIGNALLED,
    SPAWNED,
    STEP_FAILED,
    STUCK,
    TERMINATE,
    TERMINATE_ALONE,
    TOOL,
    TORCH_RANK,
    USAGE,
    WHAT,
    WORDS,
)
from .tracebacks import BEGIN, CHAINED, CHILD, CRASHED, LAUNCH, Block, ProcessEnd, RaisedError, ServerStarts

__all__ = ["read_log"]

# of one kind that are kept, the first ones; of messages the newest
_KEPT = 400
# lines that differ in digits alone: so many are looked at, and the last one
_OFTEN = 20
_SHAPES_KEPT = 100_000
_NO_DIGITS = dict.fromkeys(map(ord, "0123456789"))
# tracebacks that are open at a time, e.g. of the ranks of a group
_BLOCKS_OPEN = 64
# what stands before a traceback's head on its line
_HEAD_CHARS = 200
# exit codes by a signal that a GPU's runtime may have caused
_ABORTED_CODES = (-6, -7, -11, 134)
# lines after an error in which a program says that it tries again
_RETRY_LINES = 3
_COMMAND_CHARS = 2000
# between the last words of a process and the shell's word for its end
_SAME_END_LINES = 5


def read_log(text: str) -> Reading:
    """Read a log once, line by line."""
    reader = _LogReader()
    for number, line in enumerate(lines_of(text), 1):
        reader.take(number, line)
    return reader.close()


class _LogReader:
    """The state between two lines."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._cases = CaseReader()
        self._fatal = FatalReader()
        self._holders = HolderReader()
        self._command = ""  # the newest of a runner or of `set -x`
        # the traceback that is open under each prefix, e.g. of each rank of a group
        self._blocks: dict[str, tuple[Block, int, bool]] = {}
        self._starts = ServerStarts()
        self._launched = 0  # the line in which the newest server was started, or the first of those beside it
        self._who = ""  # named by the line before
        self._hit = ""  # a process said that it hit an exception, which follows
        self._terminate = ""
        self._group_uncaught = False
        self._at = self._printed_at = (
            0  # the line under way, and that at which the newest printed error was complete
        )
        self._watched = 0  # lines in which the newest printed error may be survived
        self._newest: list[str] = []
        # the last words of each process that is named in front of its lines, until it says more
        self._last_words: dict[str, tuple[int, tuple[RaisedError, ...]]] = {}
        # how often a line was looked at that differs in digits alone, -1 for one without a word of interest
        self._shapes: dict[str, int] = {}
        self._late: dict[str, tuple[int, str]] = {}
        self._late_shape = ""
        self._late_watched = 0
        # lines that end there, by a piece that each of them has; the first that takes the line decides
        self._takers = (
            (KERNEL_PIECES, self._kernel),
            ((" crashed with exit code",), self._crashed),
            (("terminate called", "what():"), self._terminated),
            (("attempting to bind",), self._bound),
            (("retry() failed",), self._tried_again),
            ((": error: ",), self._misused),
            (("Watchdog ",), self._stuck),
            (SIGNAL_PIECES, self._signalled),
            ((" NCCL WARN ",), self._warned),
            ((CHILD_FAILED,), self._child_failed),
        )

    def take(self, number: int, line: str) -> None:
        self._at = number
        if line:
            self._newest.append(line)
            if len(self._newest) > 2000:
                del self._newest[:-40]
            self._holders.take(line)
            if self._reading.step_failed is None and line.startswith(STEP_FAILED):
                self._reading.step_failed = number
            if line.startswith(COMMAND):
                self._command = line[:_COMMAND_CHARS]
        if self._watched:
            self._watch(line)
        if self._late_watched:
            self._late_watched -= 1
            if line and is_retried(line):
                self._late.pop(self._late_shape, None)
        if self._fatal.open and self._fatal.take(line):
            return
        self._end_fatal()
        if self._blocks and self._in_block(line):
            return
        if self._last_words and line.startswith("("):
            self._goes_on(line)
        if self._cases.take(number, line):
            self._fatal.hung = None
            return
        if BEGIN in line:
            self._open(number, line)
        elif self._is_dull(number, line):
            self._who = "" if line else self._who
        else:
            self._look(number, line)

    def _is_dull(self, number: int, line: str) -> bool:
        """Whether a line is no evidence, or like many before it: of those the last one is looked at in the end."""
        shape = line.translate(_NO_DIGITS)
        count = self._shapes.get(shape)
        if count is None:
            count = 0 if any(word in line for word in WORDS) else -1
        if count < 0 or count < _OFTEN:
            if len(self._shapes) < _SHAPES_KEPT:
                self._shapes[shape] = count if count < 0 else count + 1
            return count < 0
        self._late[shape], self._late_shape, self._late_watched = (number, line), shape, _RETRY_LINES
        return True

    def close(self) -> Reading:
        self._end_fatal()
        for prefix in [*self._blocks]:
            self._finish(prefix)
        for number, line in sorted(self._late.values()):
            self._look(number, line)
        for name, (number, chain) in self._last_words.items():
            self._end(number, ProcessEnd(who=name.strip("() "), errors=chain))
        reading = self._reading
        reading.cases = self._cases.close()
        reading.hung = self._fatal.hung
        reading.holders = self._holders.found
        reading.ends.sort(key=lambda end: end.line)
        reading.printed.sort(key=lambda printed: printed[0])
        for messages in (reading.gpu, reading.kernel, reading.tools, reading.rccl):
            messages.sort(key=lambda message: message.line)
        self._reading.newest = tuple(self._newest[-40:])
        return self._reading

    def _end_fatal(self) -> None:
        end = self._fatal.ended()
        if end is not None:
            self._end(self._fatal.line, end, aborted="Abort" in end.errors[0].message)

    def _watch(self, line: str) -> None:
        self._watched -= 1
        if line and is_retried(line) and self._reading.printed:
            self._reading.printed.pop()
            self._watched = 0

    def _look(self, number: int, line: str) -> None:
        """A line with a word of interest, outside of tracebacks and cases."""
        reading, text = self._reading, without_prefix(line)
        child = (CHILD.search(text) or SPAWNED.match(text)) if "Process " in text else None
        self._who = child["who"] if child is not None else ""
        if self._fatal.begin(number, text):
            return
        for pieces, take in self._takers:
            if any(piece in line for piece in pieces) and take(number, line, text):
                return
        if any(piece in line for piece in SERVER_PIECES) and SERVES.search(line) is not None:
            reading.serves = True
            if any(word in line for word in READY):
                reading.served_since = self._launched
            elif line.startswith(LAUNCH) and self._starts.is_again(line):
                self._launched = number
            reading.models = tuple(dict.fromkeys(MODEL.findall(line))) or reading.models
        hit = HIT.search(text) if any(piece in text for piece in HIT_PIECES) else None
        if hit is not None:
            self._hit = hit["who"] or hit["other"]
            line = hit["rest"] if hit["who"] else line
        error = error_of(line)
        if error is not None:
            self._bare(number, line, RaisedError(raises=error[0], message=error[1]))
        spoken = GPU.search(text) if any(piece in text for piece in GPU_PIECES) else None
        if spoken is not None and QUOTE.search(text[: spoken.start()]) is None:
            self._add(reading.gpu, number, text)
        if error is None:
            self._tool(number, line, text)

    def _tool(self, number: int, line: str, text: str) -> None:
        plain = BOX.sub("", line)
        said = TOOL.search(plain) is not None or TOOL.search(text) is not None
        if said and not is_retried(line) and CLOSING.search(text) is None:
            self._add(self._reading.tools, number, plain)

    def _kernel(self, number: int, line: str, _text: str) -> bool:
        if KERNEL.search(line) is None:
            return False
        self._add(self._reading.kernel, number, line)
        return True

    def _crashed(self, number: int, _line: str, text: str) -> bool:
        found = CRASHED.search(text)
        if found is None:
            return False
        code = int(found["code"])
        self._end(number, ProcessEnd(who=found["who"], exit_code=code), aborted=code in _ABORTED_CODES)
        return True

    def _bound(self, number: int, _line: str, text: str) -> bool:
        found = BIND.search(text)
        return found is not None and self._ended(number, "the server", "OSError", found[0])

    def _tried_again(self, _number: int, _line: str, text: str) -> bool:
        found = RETRIED_METHOD.search(text)
        if found is None:
            return False
        raises, _, message = found["error"].partition(": ")
        self._reading.retried = RaisedError(raises=raises, message=message)
        return True

    def _misused(self, number: int, _line: str, text: str) -> bool:
        found = USAGE.match(text)
        return found is not None and self._ended(
            number, found["who"], f"{found['who']}: error", found["message"]
        )

    def _stuck(self, number: int, _line: str, text: str) -> bool:
        found = STUCK.search(text)
        return found is not None and self._ended(number, "the scheduler", found["what"], found["rest"])

    def _signalled(self, number: int, _line: str, text: str) -> bool:
        found = SIGNALLED.search(text)
        if found is None:
            return False
        what = next(group for group in found.groups() if group)
        last = self._reading.ends[-1] if self._reading.ends else None
        if last is not None and last.aborted and number - last.line <= _SAME_END_LINES:
            return True  # a shell's word for the end of the process that has just said why
        return self._ended(number, "a process", what, "", aborted=what in ("Aborted", "SIGABRT"))

    def _warned(self, number: int, _line: str, text: str) -> bool:
        self._add(self._reading.rccl, number, text)
        return True

    def _ended(self, number: int, who: str, raises: str, message: str, *, aborted: bool = False) -> bool:
        error = RaisedError(raises=raises, message=message)
        self._end(number, ProcessEnd(who=who, errors=(error,)), aborted=aborted)
        return True

    def _bare(self, number: int, line: str, error: RaisedError) -> None:
        if self._hit:
            self._end(number, ProcessEnd(who=self._hit, errors=(error,)))
            self._hit = ""
        elif not is_retried(line):
            self._print(number, (error,))

    def _terminated(self, number: int, line: str, _text: str) -> bool:
        """C++'s last words, over one line or two."""
        begun = TERMINATE.search(line)
        if begun is not None or TERMINATE_ALONE.search(line) is not None:
            raises = begun["raises"] if begun is not None else "terminate called without an active exception"
            self._ended(number, "the process", raises, "", aborted=True)
            self._terminate = raises
            return True
        what = WHAT.match(line) if self._terminate else None
        if what is None:
            return False
        end = self._reading.ends.pop()
        self._ended(end.line, "the process", self._terminate, what["message"], aborted=True)
        self._terminate = ""
        return True

    def _open(self, number: int, line: str) -> None:
        """The head of a traceback; what stands before it stands before its lines too, or before the head alone."""
        prefix = line[: line.index(BEGIN)]
        group = GROUP.match(prefix) is not None
        key = prefix.replace("+", "|").replace("Exception Group ", "") if group else prefix
        hit = HIT.search(prefix.rstrip()[-_HEAD_CHARS:])
        who = self._who or (hit["who"] if hit is not None and hit["who"] else "") or self._hit
        self._who = self._hit = ""
        in_group = not group and "|" in prefix and not prefix.strip(" |")
        uncaught = bool(who) or prefix == "INTERNALERROR> " or (in_group and self._group_uncaught)
        if not uncaught and TORCH_RANK.search(prefix):
            who, uncaught = prefix.strip(" :[]"), True
        key = "" if hit is not None else key
        open_block = self._blocks.get(key)
        if open_block is not None and open_block[0].go_on():
            return
        if open_block is not None:
            self._finish(key)
        if len(self._blocks) >= _BLOCKS_OPEN:
            self._finish(next(iter(self._blocks)))
        self._blocks[key] = (Block(who=who), number, uncaught)

    def _in_block(self, line: str) -> bool:
        """Whether the line belongs to an open traceback."""
        for prefix, (block, _, _) in [*self._blocks.items()]:
            stripped = self._of_block(prefix, line)
            if stripped is None:
                continue
            if BEGIN in stripped:
                return False
            if block.in_frames:
                if block.take(stripped):
                    return True
                if line.startswith("[") or not stripped.strip():  # another process wrote into it
                    return False
                if block.first is not None and not block.errors and BRANCH.match(line):
                    return True
                del self._blocks[prefix]
                return False
            if stripped in CHAINED:
                block.chained = stripped
                return True
            if block.extend(stripped):
                return True
            if stripped.strip():
                self._finish(prefix)
        return False

    def _of_block(self, prefix: str, line: str) -> str | None:
        if not prefix:
            return line
        head = line[: len(prefix)]
        if head == prefix or DIGITS.sub("0", head) == DIGITS.sub("0", prefix):
            return line[len(prefix) :]
        bare = prefix.rstrip()
        if line.startswith(bare) or line == bare:
            return line[len(bare) :]
        # a logger's head that stands before the first line alone
        return line if not line[:1].strip() or error_of(line) or line in CHAINED else None

    def _finish(self, prefix: str) -> None:
        block, number, uncaught = self._blocks.pop(prefix)
        chain = block.chain()
        if not chain or block.in_frames or block.first is None:
            return
        if self._cases.takes_traceback(number, chain):
            return
        top = block.first.function == "<module>" or block.first.file == "<frozen runpy>"
        if chain[0].raises.endswith("ExceptionGroup") and "|" in prefix:  # its members follow, and say more
            self._group_uncaught = uncaught or top
            return
        if top and self._command and block.first.file in ONE_LINERS and chain[0].raises == "AssertionError":
            # a step of the set-up that looks at something: what it looked at is in its command
            self._add(self._reading.tools, number, f"{chain[0].words}, in: {self._command}")
        elif uncaught or top:
            script = block.first.file if block.first.function == "<module>" else ""
            self._end(number, ProcessEnd(who=block.who or "the process", errors=chain, script=script))
        elif (named := NAMED.match(prefix)) is not None:
            self._last_words[named[0]] = (number, chain)
        else:
            self._print(number, chain)

    def _goes_on(self, line: str) -> None:
        """A process that says something after its traceback has survived that."""
        for name in [*self._last_words]:
            if line.startswith(name) and line.rstrip() != name:
                self._print(*self._last_words.pop(name))

    def _print(self, number: int, chain: tuple[RaisedError, ...]) -> None:
        self._reading.printed.append((number, chain))
        if len(self._reading.printed) > _KEPT:
            del self._reading.printed[_KEPT // 2]
        self._watched, self._printed_at = _RETRY_LINES, self._at

    def _child_failed(self, number: int, _line: str, _text: str) -> bool:
        """The traceback right before is what ended the child."""
        if self._reading.printed and number - self._printed_at <= _RETRY_LINES:
            at, chain = self._reading.printed.pop()
            self._end(at, ProcessEnd(who="a child process", errors=chain))
        return True

    def _end(self, number: int, process: ProcessEnd, *, aborted: bool = False) -> None:
        if len(self._reading.ends) < _KEPT:
            self._reading.ends.append(End(line=number, process=process, aborted=aborted))

    @staticmethod
    def _add(messages: list[Message], number: int, text: str) -> None:
        messages.append(Message(line=number, text=text))
        if len(messages) > _KEPT:
            del messages[_KEPT // 2]
