"""What a log holds that may be evidence: cases that failed, processes that ended, errors, messages of GPU, kernel and tools."""

import re
from dataclasses import dataclass, field

from .cases import CaseReader
from .fatal import FatalReader
from .lines import error_of, is_retried, lines_of, without_prefix
from .tracebacks import BEGIN, CHAINED, CHILD, CRASHED, LAUNCH, Block, ProcessEnd, RaisedError
from .values import FailedCase

__all__ = ["End", "Message", "Reading", "read_log"]

# of one kind that are kept, the first ones; of messages the newest
_KEPT = 400
# lines after an error in which a program says that it tries again
_RETRY_LINES = 3

# a word of each line that may be evidence: all others are passed over, which is most of a log
_WORDS = re.compile(
    r"[Ee]rror|ERROR|[Ee]xception|Traceback|Errno|FAIL|[Ff]ail|[Ff]atal|FATAL|amdgpu|HSA|HIP|KFD|kfd|GPU|Kernel|kernel"
    r"|[Aa]bort|[Kk]illed|core dumped|crash|terminate called|what\(\)|timed? ?out|Timeout|[Rr]efused|[Dd]enied"
    r"|[Cc]ould not|[Cc]ould ?n.t|[Cc]annot|[Cc]an't|[Uu]nable|No space|no space|lost|exceeded|toomany|[Uu]nexpected"
    r"|exit|Process |Segfault|SIG[A-Z]|command=|CI_OFFLINE|ROCk|shutdown|[Dd]evice-side|ECC|RAS|denied|resolve"
    r"|reset|NCCL WARN|Watchdog|VRAM|protected|namespace package|canceled|KeyboardInterrupt|EACCES|no tests ran|collected 0 |TIMEOUT|artifact|server|serve|Uvicorn|[Uu]nreachable|unavailable|Unavailable|EOF|[Gg]iv(?:ing|e) up|[Rr]etr|[Uu]nhealthy|missing|not found"
)
_GPU = re.compile(
    r"HSA_STATUS|Memory access fault by GPU|HW Exception by GPU|GPU Hang|GPU hang|rocdevice\.cpp|[Dd]evice-side [Aa]ssert"
    r"|\bKernel [Nn]ame\b|\bkernel[ _]name\b|[Ff]aulting kernel|Assertion `.*` failed|Assertion `.*' failed|: Device-side|aborting with error"
    r"|thread: \[\d+,\d+,\d+\]|\[GPUVM\]|GPU core ?dump|hipError\w+"
)
_KERNEL = re.compile(
    r"(?:^|\s)(?:\[ *\d+\.\d+\]|\[\w{3} \w{3} +\d+ [\d:]+ \d{4}\]|kernel:) .*"
    r"(?:amdgpu|kfd|[Oo]ut of memory|oom-kill|oom_reaper|EDAC|mce:|[Mm]achine [Cc]heck|pages RAM|PCIe|AER|drm)"
    r"|\b(?:Memory cgroup out of memory|Out of memory): Kill(?:ed)? process \d+"
)
_HIT = re.compile(
    r"(?P<who>\w{1,100}) hit an exception:? ?(?P<rest>.*)$|(?P<other>\w{1,60}) failed to start\.?$"
)
_TERMINATE = re.compile(r"terminate called after throwing an instance of '(?P<raises>[^']+)'")
_TERMINATE_ALONE = re.compile(r"terminate called without an active exception")
_WHAT = re.compile(r"\s+what\(\): +(?P<message>.*)$")
# a shell's or a runtime's word for a signal
_SIGNALLED = re.compile(
    r"(?:^|: line \d+: +\d+ |[^\w/.-])(?P<what>Segmentation fault|Bus error|Illegal instruction|Aborted|Floating point exception)"
    r" *\(core dumped\)|^(?P<killed>Killed|Segmentation fault|Aborted)$|: line \d+: +\d+ (?P<late>Killed|Aborted|Segmentation fault)\b"
    r"|!{3,} (?P<segfault>Segfault) encountered|^\*\*\* (?P<signal>SIG[A-Z]+) received"
)
# in front of words that somebody else said: a prompt, an answer, a value
_QUOTE = re.compile(r"['\"`]")
# what uv and SGLang's runner draw in front of a line
_BOX = re.compile(r"^(?:##\[error\]|[\s\u00d7\u251c\u2570\u2502\u2500\u25b6\u2717\u2716!>+\u2022-])+")
_USAGE = re.compile(
    r"(?P<who>[\w./-]+(?: [a-z][\w-]*)?): error: (?P<message>(?:argument|unrecognized arguments|the following arguments|ambiguous option|invalid) ?.*)$"
)
# uvicorn's last words, without an exception
_BIND = re.compile(r"\[Errno \d+\] error while attempting to bind on address.*$")
# SGLang's retry of a test's method, whose own exception does not say what it was about
_RETRIED_METHOD = re.compile(r"\bretry\(\) failed once .*\bError: (?P<error>[A-Za-z_][\w.]*(?:: .*)?)$")
_DIGITS = re.compile(r"\d")
_STUCK = re.compile(
    r"(?P<what>Watchdog (?:timeout|caught collective operation timeout)): ?(?P<rest>.*)$|(?P<sglang>Watchdog timeout) (?P<figures>\(.*)$"
)
_SERVES = re.compile(
    r"server_args=|Uvicorn running on|^command=|launch_server|Launching server|Started server process|sglang(?:\.cli)? serve|vllm serve"
)
_TORCH_RANK = re.compile(r"\[rank\d+\]:? *$")
# the head of an exception group's traceback, and what stands in front of its lines
_GROUP = re.compile(r"^\s*\+ Exception Group $")
_BRANCH = re.compile(r"^\s*(?:\+-\+-+ (?:\d+|\.\.\.) -+|\| |\|$|\+-+$)")
# tools that are run to set something up, in front of their messages; or their words for what they cannot do
_TOOL = re.compile(
    r"^(?:\w[\w./-]* )?(?:docker|curl|wget|aria2c|ssh|rsync|tar|cp|mv|mkdir|dd|unzip|gzip|pip|uv|git|apt|apt-get|dpkg"
    r"|rocminfo|rocm-smi|amd-smi|amdsmi|srun|sbatch|slurmstepd|npm|cargo|make|ninja|cmake|ldconfig|mount|kubectl)(?:\[\d+\])?: "
    r"|^(?:error|fatal|ERROR|FATAL|Error|E|Err:\d+|W|failed to|Failed to|Failed|failed|Cannot|Could not|Unable to|panic|OCI|hsa)\b"
    r"|Error response from daemon|toomanyrequests|dial tcp|curl: \(|Caused by:|[Nn]o space left on device|/dev/kfd|ROCk module"
    r"|exceeded the maximum execution time|VRAM|protected distribution|is a namespace package|canceled|KeyboardInterrupt|EACCES|no tests ran|collected 0|TIMEOUT|ended by timeout|GPUs? of this|has timed out after|[Rr]unner|TLS handshake|unexpected EOF|x509|rpc error"
    r"|Retry\(total=0|[Gg]iving up|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|Kill(?:ed)? process|errorCode=|error: |Error: "
    r"|AMDSMI_STATUS|cannot open|not (?:be )?initialized|not loaded|is not available|unreachable|No such device|artifact"
)
# a runner's or a shell's closing word, which says nothing by itself
_CLOSING = re.compile(
    r"Process completed with exit code|exit(?:ed with)? (?:code|status)[: ]*\d+$|^make(?:\[\d+\])?: \*\*\* .*Error \d+$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A line of the log, by its number from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A process that ended, and where the log says so; `aborted`: by a signal that a GPU's runtime may have caused."""

    line: int
    process: ProcessEnd
    aborted: bool = False


@dataclass(slots=True)
class Reading:
    """All that a log holds. `printed` are errors that some code printed, with the line; `newest` are the last lines.

    `retried` is what SGLang's retry of a test's method was last about. `serves`: a server of the test's own was started.
    """

    cases: list[FailedCase] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    printed: list[tuple[int, tuple[RaisedError, ...]]] = field(default_factory=list)
    gpu: list[Message] = field(default_factory=list)
    kernel: list[Message] = field(default_factory=list)
    tools: list[Message] = field(default_factory=list)
    rccl: list[Message] = field(default_factory=list)
    newest: tuple[str, ...] = ()
    retried: RaisedError | None = None
    serves: bool = False


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
        # the traceback that is open under each prefix, e.g. of each rank of a group
        self._blocks: dict[str, tuple[Block, int, bool]] = {}
        self._who = ""  # named by the line before
        self._hit = ""  # a process said that it hit an exception, which follows
        self._terminate = ""
        self._watched = 0  # lines in which the newest printed error may be survived
        self._newest: list[str] = []

    def take(self, number: int, line: str) -> None:
        if line:
            self._newest.append(line)
            if len(self._newest) > 2000:
                del self._newest[:-40]
        if self._watched:
            self._watch(line)
        if self._fatal.open and self._fatal.take(line):
            return
        self._end_fatal()
        if self._blocks and self._in_block(line):
            return
        if self._cases.take(number, line):
            return
        if _WORDS.search(line) is None:
            if line:
                self._who = ""
            return
        self._look(number, line)

    def close(self) -> Reading:
        self._end_fatal()
        for prefix in [*self._blocks]:
            self._finish(prefix)
        self._reading.cases = self._cases.close()
        self._reading.ends.sort(key=lambda end: end.line)
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
        reading = self._reading
        if BEGIN in line:
            self._open(number, line)
            return
        reading.serves = reading.serves or _SERVES.search(line) is not None
        text = without_prefix(line)
        child = CHILD.search(text)
        self._who = child["who"] if child is not None else ""
        if self._fatal.begin(number, text) or text.startswith(LAUNCH):
            return
        if _KERNEL.search(line) is not None:
            self._add(reading.kernel, number, line)
            return
        if (crashed := CRASHED.search(text)) is not None:
            code = int(crashed["code"])
            self._end(
                number, ProcessEnd(who=crashed["who"], exit_code=code), aborted=code in (-6, -11, -7, 134)
            )
            return
        if self._terminated(number, line):
            return
        if (bound := _BIND.search(text)) is not None:
            error = RaisedError(raises="OSError", message=bound[0])
            self._end(number, ProcessEnd(who="the server", errors=(error,)))
            return
        if (again := _RETRIED_METHOD.search(text)) is not None:
            raises, _, message = again["error"].partition(": ")
            reading.retried = RaisedError(raises=raises, message=message)
            return
        if (usage := _USAGE.match(text)) is not None:
            error = RaisedError(raises=f"{usage['who']}: error", message=usage["message"])
            self._end(number, ProcessEnd(who=usage["who"], errors=(error,)))
            return
        if (stuck := _STUCK.search(text)) is not None:
            error = RaisedError(
                raises=stuck["what"] or stuck["sglang"], message=stuck["rest"] or stuck["figures"]
            )
            self._end(number, ProcessEnd(who="the scheduler", errors=(error,)))
            return
        if (signalled := _SIGNALLED.search(text)) is not None:
            what = next(group for group in signalled.groups() if group)
            error = RaisedError(raises=what, message="")
            self._end(
                number, ProcessEnd(who="a process", errors=(error,)), aborted=what in ("Aborted", "SIGABRT")
            )
            return
        if (hit := _HIT.search(text)) is not None:
            self._hit = hit["who"] or hit["other"]
            line = hit["rest"] if hit["who"] else line
        error_here = error_of(line)
        if error_here is not None:
            self._bare(number, line, RaisedError(raises=error_here[0], message=error_here[1]))
        if (spoken := _GPU.search(text)) is not None and _QUOTE.search(text[: spoken.start()]) is None:
            self._add(reading.gpu, number, text)
        elif " NCCL WARN " in line:
            self._add(reading.rccl, number, text)
        elif error_here is None:
            plain = _BOX.sub("", line)
            if (
                (_TOOL.search(plain) or _TOOL.search(text))
                and not is_retried(line)
                and not _CLOSING.search(text)
            ):
                self._add(reading.tools, number, plain)

    def _bare(self, number: int, line: str, error: RaisedError) -> None:
        if self._hit:
            self._end(number, ProcessEnd(who=self._hit, errors=(error,)))
            self._hit = ""
        elif not is_retried(line):
            self._print(number, (error,))

    def _terminated(self, number: int, line: str) -> bool:
        """C++'s last words, over one line or two."""
        begun = _TERMINATE.search(line)
        if begun is not None or _TERMINATE_ALONE.search(line) is not None:
            raises = begun["raises"] if begun is not None else "terminate called without an active exception"
            self._end(
                number,
                ProcessEnd(who="the process", errors=(RaisedError(raises=raises, message=""),)),
                aborted=True,
            )
            self._terminate = raises
            return True
        what = _WHAT.match(line) if self._terminate else None
        if what is None:
            return False
        end = self._reading.ends.pop()
        error = RaisedError(raises=self._terminate, message=what["message"])
        self._end(end.line, ProcessEnd(who="the process", errors=(error,)), aborted=True)
        self._terminate = ""
        return True

    def _open(self, number: int, line: str) -> None:
        """The head of a traceback; what stands before it stands before its lines too, or before the head alone."""
        prefix = line[: line.index(BEGIN)]
        group = _GROUP.match(prefix) is not None
        key = prefix.replace("+", "|").replace("Exception Group ", "") if group else prefix
        hit = _HIT.search(prefix.rstrip())
        who = self._who or (hit["who"] if hit is not None and hit["who"] else "") or self._hit
        self._who = self._hit = ""
        uncaught = bool(who) or prefix == "INTERNALERROR> "
        if not uncaught and _TORCH_RANK.search(prefix):
            who, uncaught = prefix.strip(" :[]"), True
        key = "" if hit is not None else key
        open_block = self._blocks.get(key)
        if open_block is not None and open_block[0].go_on():
            return
        if open_block is not None:
            self._finish(key)
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
                if block.first is not None and not block.errors and _BRANCH.match(line):
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
        if head == prefix or _DIGITS.sub("0", head) == _DIGITS.sub("0", prefix):
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
        if uncaught or top:
            script = block.first.file if block.first.function == "<module>" else ""
            self._end(number, ProcessEnd(who=block.who or "the process", errors=chain, script=script))
        else:
            self._print(number, chain)

    def _print(self, number: int, chain: tuple[RaisedError, ...]) -> None:
        self._reading.printed.append((number, chain))
        if len(self._reading.printed) > _KEPT:
            del self._reading.printed[_KEPT // 2]
        self._watched = _RETRY_LINES

    def _end(self, number: int, process: ProcessEnd, *, aborted: bool = False) -> None:
        if len(self._reading.ends) < _KEPT:
            self._reading.ends.append(End(line=number, process=process, aborted=aborted))

    @staticmethod
    def _add(messages: list[Message], number: int, text: str) -> None:
        messages.append(Message(line=number, text=text))
        if len(messages) > _KEPT:
            del messages[_KEPT // 2]
