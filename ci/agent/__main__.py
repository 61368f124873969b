"""Run the tests of a spec in the engine's interpreter, and say what happens as JSON Lines.

    PYTHON agent.py SPEC.json

`docs/agent.md` fixes the spec, the events and the verdicts. This is one file of standard-library Python (3.10 and
later) because it is carried into containers and onto cluster nodes; it imports nothing of this project. In its
second mode, `agent.py --child KIND PARENT_PID SPEC SUITE TEST`, it is the test process: there it needs pytest too.
"""

import ctypes
import faulthandler
import json
import math
import os
import platform
import re
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    from types import FrameType, ModuleType

    import pytest

__all__ = [
    "AttemptFacts",
    "FailedCase",
    "Judgement",
    "LogFile",
    "RecentLines",
    "Rule",
    "Spec",
    "SpecError",
    "classify",
    "gates",
    "log_name",
    "main",
    "parse_message",
    "parse_spec",
]

SCHEMA = 1
MESSAGE_BYTES = 65536
READ_BYTES = 65536
OUTCOMES = ("passed", "failed", "skipped", "xfailed", "xpassed")
# The verdicts that a failed case or a rule may give, worst for the product first.
CAUSES = ("product", "unknown", "bounds", "timeout", "oom", "infra", "hardware")
# pytest's exit codes: all is well, no case matches what was asked for, nothing was collected. A module that skips
# itself ends with one of the last two.
PYTEST_OK, PYTEST_USAGE, PYTEST_NO_TESTS = 0, 4, 5
PYTEST_CASES_FAILED = 1
# how often an attempt looks at its deadlines, its orphans and whether it was stopped: one look takes 1.3 ms
POLL_S = 0.1
# a fork between listing and killing escapes one pass; all passes, before and after the last event, stay below the two
# seconds that a stop leaves
SWEEP_PASSES = 20
SWEEP_PAUSE_S = 0.05
# a live view needs no more than two updates a second, of a terminal's height; the log holds the rest
OUTPUT_EVERY_S = 0.5
OUTPUT_LINES = 40
# a longer line in an output event or as evidence is cut
LINE_CHARS = 2000
# lines that prove a verdict; an annotation has no room for more
EVIDENCE_LINES = 8
# a traceback in an event: one message on the socket is at most 64 KiB
DETAILS_BYTES = 20000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


# ---- the spec


class SpecError(Exception):
    """The spec can't be used; `problems` says all that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rows `agent.*` of `ci/catalog/limits.toml`; what each means stands there."""

    int_grace_s: float
    term_grace_s: float
    stop_int_grace_s: float
    stop_term_grace_s: float
    settle_s: float
    log_head_bytes: int
    log_tail_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern in the log of a failed attempt, and the verdict that it proves."""

    id: str
    verdict: str
    pattern: re.Pattern[str]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test file; `path` is relative to the root, `cases` are pytest node ids (none: the whole file).

    `env` goes over the suite's. `metrics` are what the catalog has rows for, `quarantine` the file's id or node ids of it
    that gate nothing.
    """

    id: str
    path: str
    kind: str
    cases: tuple[str, ...]
    est_s: float
    timeout_s: float
    env: Mapping[str, str]
    metrics: tuple[str, ...]
    quarantine: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests with one environment, one deadline and one retry policy."""

    id: str
    timeout_s: float
    gpus: int
    attempts: int
    retry_wait_s: float
    retry_on: tuple[str, ...]
    env: Mapping[str, str]
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that the agent has to do."""

    schema: int
    token: str
    root: Path
    run_dir: Path
    pythonpath: tuple[str, ...]
    jobs: int
    gpu_ids: tuple[str, ...]
    fail_fast: bool
    pytest_args: tuple[str, ...]
    limits: Limits
    verdict_rules: tuple[Rule, ...]
    suites: tuple[Suite, ...]


def parse_spec(text: str) -> Spec:
    """The spec in this JSON; raises `SpecError` with the problems found, wrong types before wrong values."""
    problems: list[str] = []
    try:
        spec: Spec = _decode(Spec, json.loads(text), "", problems)
    except ValueError as error:
        problems.append(f"it is not JSON: {error}")
    if not problems:
        problems += _wrong_values(spec)
    if problems:
        raise SpecError(problems)
    return spec


def _decode(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    """`value` as a `kind`, a dataclass of this file or a type in its annotations; None where it does not fit."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(value, dict):
        paths = {row.name: f"{where}.{row.name}".lstrip(".") for row in fields(kind)}
        problems += [f"{path} is missing" for name, path in paths.items() if name not in value]
        rows = {row.name: row.type for row in fields(kind)}
        made = {
            name: _decode(rows[name], value.get(name), paths[name], problems)
            for name in rows
            if name in value
        }
        return kind(**made) if made.keys() == rows.keys() else None  # type: ignore[operator]  # a class, not a value
    if origin is tuple and isinstance(value, list):
        return tuple(
            _decode(inner[0], item, f"{where}[{index}]", problems) for index, item in enumerate(value)
        )
    if origin is Mapping and isinstance(value, dict):
        return {key: _decode(inner[1], item, f"{where}.{key}", problems) for key, item in value.items()}
    if (
        kind in (float, int)
        and _is_number(value)
        and math.isfinite(value)
        and value >= 0
        and value == kind(value)
    ):
        return kind(value)
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind is Path and isinstance(value, str) and Path(value).is_absolute():
        return Path(value)
    if origin is re.Pattern and isinstance(value, str):
        try:
            return re.compile(value, re.MULTILINE)
        except re.error as error:
            problems.append(f"{where} is not a regular expression: {error}")
            return None
    names = {float: "a number of at least 0", int: "a whole number of at least 0", Path: "an absolute path"}
    problems.append(
        f"{where or 'it'} is {str(value)[:100]!r}, not {names.get(kind, getattr(kind, '__name__', kind))}"
    )
    return None


def _wrong_values(spec: Spec) -> list[str]:
    """What has the right type and still can't be meant."""
    found = [] if spec.schema == SCHEMA else [f"schema is {spec.schema}; this agent reads schema {SCHEMA}"]
    found += [] if spec.jobs else ["jobs is 0"]
    for rule in spec.verdict_rules:
        found += (
            []
            if rule.verdict in CAUSES
            else [f"rule {rule.id}: verdict {rule.verdict!r} is not one of {CAUSES}"]
        )
    for name, count in Counter(suite.id for suite in spec.suites).items():
        found += [f"{count} suites are called {name!r}"] if count > 1 else []
    for suite in spec.suites:
        where = f"suite {suite.id}"
        found += [] if suite.attempts else [f"{where}: attempts is 0"]
        if spec.gpu_ids and suite.gpus > len(spec.gpu_ids):
            found.append(f"{where} needs {suite.gpus} GPUs, gpu_ids holds {len(spec.gpu_ids)}")
        for name, count in Counter(test.id for test in suite.tests).items():
            found += [f"{where}: {count} tests are called {name!r}"] if count > 1 else []
        for test in suite.tests:
            if test.kind not in ("pytest", "script"):
                found.append(f"{where}: {test.id}: kind {test.kind!r} is neither pytest nor script")
            if not test.path or Path(test.path).is_absolute() or ".." in Path(test.path).parts:
                found.append(f"{where}: {test.id}: {test.path!r} is not a path inside the root")
    return found


# ---- what a test process says

# Keys by kind of message, with the value that stands for one that is absent or of another type; None takes anything.
# `session` is our own child mode saying that pytest came to its end.
MESSAGES: dict[str, dict[str, object]] = {
    "case": {
        "case": "",
        "outcome": "",
        "duration_s": 0.0,
        "message": "",
        "details": "",
        "file": None,
        "line": None,
        "verdict": None,
        "assertion": False,
    },
    "metric": {"metric": "", "value": 0.0, "unit": "", "bound": None},
    "note": {"text": ""},
    "progress": {"text": "", "done": None, "total": None},
    "session": {"exit_code": 0},
}


def parse_message(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and keys of one message; what the agent does not know becomes a `note` that holds the raw text."""
    raw = data.decode("utf-8", "replace")
    try:
        message = json.loads(raw, parse_constant=_refuse)
        defaults = MESSAGES[message["type"]]
        keys = {key: message.get(key, default) for key, default in defaults.items()}
        required = next(iter(defaults))
        if not _alike(message[required], defaults[required]) or not _alike(keys.get("value", 0.0), 0.0):
            return "note", {"text": raw}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "note", {"text": raw}
    if keys.get("outcome", "passed") not in OUTCOMES:
        return "note", {"text": raw}
    return message["type"], {
        key: value if _alike(value, defaults[key]) else defaults[key] for key, value in keys.items()
    }


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _alike(value: object, default: object) -> bool:
    return default is None or (
        _is_number(value) if isinstance(default, float) else type(value) is type(default)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---- the verdict of an attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCase:
    """A case that failed; `verdict` is its own, `assertion` true when it failed by an assertion."""

    case: str
    message: str = ""
    verdict: str | None = None
    assertion: bool = False


@dataclass(slots=True, kw_only=True)
class AttemptFacts:
    """What is known about an attempt; gathered while it runs, complete when it has ended.

    `exit_code` and `signal` are the process's own end; `session_code` is pytest's exit code, None when pytest never
    came to its end; `stopped` and `deadline` say why we ended the attempt, None when it ended by itself. `asked` are the
    metrics that it has to record, `metrics` those that it has.
    """

    path: str
    kind: str
    asked: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    session_code: int | None = None
    stopped: str | None = None
    deadline: str | None = None
    cases: Counter[str] = field(default_factory=Counter)
    failed: list[FailedCase] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    skip_reasons: list[str] = field(default_factory=list)
    running: str = ""
    oom_kills: int = 0
    log_error: str | None = None

    def end(self) -> str:
        """How the process ended, for people."""
        end = f"was ended by {self.signal}" if self.signal else f"ended with exit code {self.exit_code}"
        return f"the test process {end}" + (f"; running: {self.running}" if self.running else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How an attempt ended; `rule` is the id of the rule that decided."""

    outcome: str
    verdict: str
    evidence: tuple[str, ...] = ()
    rule: str | None = None


def _failed(verdict: str, *evidence: str, rule: str | None = None) -> Judgement:
    return Judgement(outcome="failed", verdict=verdict, evidence=evidence, rule=rule)


def classify(facts: AttemptFacts, rules: Sequence[Rule], read_log: Callable[[], str]) -> Judgement:
    """The verdict over one attempt; `read_log` is called only when the log has a say."""
    done = facts.cases.total()
    if facts.stopped is not None:
        return _failed("cancelled", f"stopped: {facts.stopped}")
    if facts.deadline is not None:
        verdict = "timeout-while-passing" if done and not facts.failed else "timeout"
        during = f"; running: {facts.running}" if facts.running else ""
        return _failed(verdict, f"{facts.deadline}; cases ended: {done}, failed: {len(facts.failed)}{during}")
    if facts.failed:
        return _judge_cases(facts, rules, read_log)
    pytest_code = facts.exit_code if facts.session_code == facts.exit_code else None
    if not done and pytest_code in (PYTEST_OK, PYTEST_NO_TESTS):
        return _failed("product", f"pytest collected no test cases in {facts.path}")
    only_skipped = facts.cases["skipped"] == done > 0
    skipped_itself = only_skipped and pytest_code in (PYTEST_USAGE, PYTEST_NO_TESTS)
    if skipped_itself or pytest_code == PYTEST_OK or (facts.kind == "script" and facts.exit_code == 0):
        silent = [metric for metric in facts.asked if metric not in facts.metrics]
        # a case that was skipped may be the one that would have measured
        if silent and facts.cases.keys() <= {"passed"}:
            return _failed("product", *(_unmeasured(metric) for metric in silent))
        outcome = "skipped" if only_skipped else "passed"
        return Judgement(
            outcome=outcome, verdict="passed", evidence=(facts.log_error,) if facts.log_error else ()
        )
    return _judge_end(facts, rules, read_log())


def _unmeasured(metric: str) -> str:
    return f"no metric {metric!r} was recorded, and ci/catalog/bounds.toml has a row for it; next: measure it or remove the row"


def _judge_cases(facts: AttemptFacts, rules: Sequence[Rule], read_log: Callable[[], str]) -> Judgement:
    """Some case failed: each has its own verdict, or is the product's by an assertion, or the log explains it."""
    own = {case: case.verdict or ("product" if case.assertion else None) for case in facts.failed}
    explained: Judgement | None = None
    if None in own.values() and "bounds" not in own.values():
        explained = _explain(facts, rules, read_log())
    otherwise = explained.verdict if explained else "product"
    # a verdict that no one defined is taken for the worst
    verdicts = {case: verdict if verdict in CAUSES else "product" for case, verdict in own.items() if verdict}
    worst = min([*verdicts.values(), *([otherwise] if None in own.values() else [])], key=CAUSES.index)
    lines = tuple(f"{case.case}: {case.message}" for case in own if verdicts.get(case, otherwise) == worst)
    if explained is None or explained.verdict != worst:
        return _failed(worst, *lines)
    return _failed(worst, *explained.evidence, *lines, rule=explained.rule)


def _judge_end(facts: AttemptFacts, rules: Sequence[Rule], log: str) -> Judgement:
    """No case failed, and yet the process did not end well."""
    explained = _explain(facts, rules, log)
    if explained is not None:
        return _failed(explained.verdict, facts.end(), *explained.evidence, rule=explained.rule)
    if facts.signal == "SIGKILL":
        return _failed(
            "unknown", facts.end(), "the agent did not send it, and the kernel counted no OOM kill"
        )
    last = _clean(log[-4096:])[-3:]
    if facts.kind == "pytest" and facts.signal is None and facts.session_code != facts.exit_code:
        session = "had not ended" if facts.session_code is None else f"had ended with {facts.session_code}"
        return _failed("unknown", facts.end(), f"pytest's session {session}", *last)
    return _failed("product", facts.end(), *last)


def _explain(facts: AttemptFacts, rules: Sequence[Rule], log: str) -> Judgement | None:
    """What machine, network or kernel did to this attempt; the first rule in the order of the catalog wins."""
    killed = f"the kernel counted {facts.oom_kills} OOM kills during this attempt"
    if facts.oom_kills and facts.signal == "SIGKILL":
        return _failed("oom", killed)
    log = ESCAPES.sub("", log)  # a colour in front of a word would hide where the word begins
    for rule in rules:
        match = rule.pattern.search(log)
        if match is not None:
            start, end = log.rfind("\n", 0, match.start()) + 1, log.find("\n", match.end())
            lines = _clean(log[start : end if end >= 0 else len(log)])
            return _failed(rule.verdict, *lines, f"rule {rule.id}: {rule.why}", rule=rule.id)
    if facts.oom_kills:
        return _failed("oom", killed)
    return _failed("infra", facts.log_error) if facts.log_error else None


def gates(quarantine: Sequence[str], facts: AttemptFacts, judgement: Judgement) -> bool:
    """Whether a failed attempt counts although these rows, for its file or for cases of it, hold: the rule of docs/agent.md."""
    if judgement.verdict == "cancelled":
        return True
    if any("::" not in row for row in quarantine):
        return False
    nodes = [case.case for case in facts.failed]
    if not nodes or facts.exit_code != PYTEST_CASES_FAILED or judgement.verdict.startswith("timeout"):
        return True
    return not all(
        any(node == row or node.startswith((f"{row}[", f"{row}::")) for row in quarantine) for node in nodes
    )


def _clean(text: str) -> tuple[str, ...]:
    lines = (ESCAPES.sub("", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


# ---- logs and events


class LogFile:
    """The log of an attempt: the first `head_bytes` and the last `tail_bytes` of the output.

    A log that can't be written does not end the test: `error` says why, and the newest output stays readable.
    """

    def __init__(self, path: Path, *, head_bytes: int, tail_bytes: int) -> None:
        self.error: str | None = None
        self.total_bytes = 0
        self.kept_bytes = 0  # of the output, on the disk
        self._path = path
        self._head_room = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[bytes] = deque()
        self._tail_held = 0
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            owner = path.parent.stat()
            if owner.st_uid != os.geteuid():  # in a container we are root, and the folder is the user's
                os.fchown(self._descriptor, owner.st_uid, owner.st_gid)
        except OSError as error:
            self._fail(error)

    def write(self, data: bytes) -> None:
        """Take the next piece of the output."""
        self.total_bytes += len(data)
        head = self._to_disk(data[: self._head_room])
        self.kept_bytes += head
        self._head_room -= head
        rest = data[head:]
        if rest:
            self._tail.append(rest)
            self._tail_held += len(rest)
            while self._tail and self._tail_held - len(self._tail[0]) >= self._tail_bytes:
                self._tail_held -= len(self._tail.popleft())

    def close(self) -> None:
        """Write the tail, after a line that counts what was left out."""
        tail = self._newest()
        left_out = self.total_bytes - self.kept_bytes - len(tail)
        if left_out and self.error is None:
            self._to_disk(f"\n[... {left_out} bytes of output left out here ...]\n".encode())
        self.kept_bytes += self._to_disk(tail)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def text(self) -> str:
        """What is left of the output, invalid UTF-8 replaced; call it after `close`."""
        try:
            data = self._path.read_bytes() if self.kept_bytes or self.error is None else b""
        except OSError as error:
            data = b""
            self._fail(error)
        return (data if self.error is None else data + b"\n" + self._newest()).decode("utf-8", "replace")

    def _newest(self) -> bytes:
        return b"".join(self._tail)[-self._tail_bytes :] if self._tail_bytes else b""

    def _to_disk(self, data: bytes) -> int:
        """Write as much as the disk takes; the number of bytes."""
        written = 0
        try:
            while self.error is None and written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._fail(error)
        return written

    def _fail(self, error: OSError) -> None:
        self.error = f"the log could not be written: {error}"


class RecentLines:
    """The newest lines of a stream for the live view; a carriage return ends a line, as progress bars mean it."""

    def __init__(self, *, lines: int, line_chars: int) -> None:
        self._lines = lines
        self._line_chars = line_chars
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece; only the end of a flood is kept."""
        self._buffer = (self._buffer + data)[-self._lines * self._line_chars :]

    def take(self, *, all_of_it: bool = False) -> list[str]:
        """The complete lines since the last call, the newest; at the end of the stream `all_of_it`."""
        *complete, rest = re.split(rb"[\r\n]+", self._buffer)
        self._buffer = b"" if all_of_it else rest
        newest = [line for line in [*complete, rest if all_of_it else b""] if line][-self._lines :]
        return [line.decode("utf-8", "replace")[: self._line_chars] for line in newest]


def log_name(test: str, attempt: int, taken: Collection[str]) -> str:
    """A file name for the log of this attempt that no other attempt has."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", test).strip("._")[-150:] or "test"
    suffix = f".attempt-{attempt}.log" if attempt > 1 else ".log"
    name, count = stem + suffix, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}{suffix}"
    return name


class Stop:
    """The wish to end everything; the first reason stands. No lock: a signal handler asks for it."""

    reason: str | None = None

    def request(self, reason: str) -> None:
        """End everything as soon as possible."""
        if self.reason is None:
            self.reason = reason


class Emitter:
    """Events as JSON Lines on one descriptor: one write each, numbered without gaps."""

    def __init__(self, descriptor: int, stop: Stop) -> None:
        self.broken = False
        self._descriptor = descriptor
        self._stop = stop
        self._lock = threading.Lock()
        self._number = 0
        self._started = time.monotonic()

    def emit(self, kind: str, **keys: object) -> None:
        """Send one event; when the reader has gone, end everything."""
        with self._lock:
            self._number += 1
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            elapsed_s = round(time.monotonic() - self._started, 3)
            event = {"type": kind, "seq": self._number, "time": now, "elapsed_s": elapsed_s, **keys}
            data = json.dumps(event).encode() + b"\n"
            try:
                while data and not self.broken:  # a signal can cut a write to a pipe short
                    data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self.broken = True
                self._stop.request(f"standard output broke: {error}")


# ---- processes


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; a zombie is not alive."""

    pid: int
    parent: int
    session: int
    alive: bool
    kernel: bool


def process_table() -> dict[int, Process]:
    """Every process that `/proc` shows."""
    table = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:  # noqa: PTH208 - ten times a second
        stat = _read(f"/proc/{pid}/stat")
        if stat:  # else it ended meanwhile
            # the command is in brackets and may itself hold spaces and brackets
            state, parent, _, session, _, _, flags = stat[stat.rindex(b")") + 2 :].split()[:7]
            kernel = bool(int(flags) & KERNEL_THREAD)
            table[pid] = Process(pid, int(parent), int(session), alive=state not in b"ZX", kernel=kernel)
    return table


def descendants(table: Mapping[int, Process], roots: Iterable[int]) -> set[int]:
    """These processes and all below them."""
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def _read(path: str) -> bytes:
    """A file of `/proc`; empty when the process has ended or is not ours to look at."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def carries(pid: int, variable: str) -> bool:
    """Whether the process was started with this `NAME=value` in its environment."""
    return variable.encode() in _read(f"/proc/{pid}/environ").split(b"\0")


def holds_pipe(pid: int, inode: int) -> bool:
    """Whether the process has this pipe open."""
    try:
        return any(str(entry.readlink()) == f"pipe:[{inode}]" for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for this signal."""
    caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)$", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def command_of(pid: int) -> str:
    """The command line of a process, cut to 300 characters; empty when it has ended."""
    return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()[:300]


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended is as good as one that got it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory: in our cgroup if it can be read, else anywhere."""
    counters = []
    for line in _read("/proc/self/cgroup").decode().splitlines():
        _, controllers, group = line.split(":", 2)
        # inside a container the group's own path may not be there, only its root
        if not controllers:
            mounts = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
            counters += [f"{mount}{path}/memory.events" for mount in mounts for path in (group, "")]
        elif "memory" in controllers.split(","):
            counters += [f"/sys/fs/cgroup/memory{path}/memory.oom_control" for path in (group, "")]
    for counter in (*counters, "/proc/vmstat"):
        found = re.search(rb"^oom_kill (\d+)$", _read(counter), re.MULTILINE)
        if found is not None:
            return int(found[1])
    return 0


def prctl(option: int, value: int) -> None:
    """Set a process attribute; where the kernel refuses, say so and go on: the sweeps still hold."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        complain(f"prctl({option}, {value}) failed: {os.strerror(ctypes.get_errno())}")


def complain(text: str) -> None:
    """One line of the agent's own diagnostics."""
    try:
        sys.stderr.write(f"agent: {text}\n")
        sys.stderr.flush()
    except OSError:
        return  # whoever listened has gone


class Children:
    """Every process that the agent started or adopted.

    The agent is a child subreaper: what a test leaves behind becomes its child. Test processes are known here by
    their pid, so that reaping an orphan never takes the exit code of a test away from its `Popen`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tests: set[int] = set()

    def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], out: int, keep: int) -> Any:
        """Start a test process in a session of its own; its output goes to `out`, and `keep` stays open in it."""
        with self._lock:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=(keep,),
                start_new_session=True,
            )
            self._tests.add(process.pid)
        return process

    def forget(self, pid: int) -> None:
        """The exit code of this test process has been taken."""
        with self._lock:
            self._tests.discard(pid)

    def reap(self) -> None:
        """Bury adopted orphans at once: a test that polls until a process is gone must not wait for a zombie."""
        with self._lock:
            try:
                while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    if dead.si_pid in self._tests:
                        return  # its own thread buries it, within one poll
                    os.waitpid(dead.si_pid, os.WNOHANG)
            except ChildProcessError:
                return

    def of_test(self, test: int, variable: str, pipe: int, *, alone: bool) -> set[int]:
        """The living processes of an attempt.

        They are known by descent, by session, by the attempt's token in their environment, and orphans by the output
        pipe, or by there being no other attempt. The token alone is not enough: `setproctitle`, which SGLang's
        schedulers call, writes over the environment that `/proc` shows.
        """
        table = process_table()
        us = os.getpid()
        with self._lock:
            others = self._tests - {test}
        roots = set()
        for process in table.values():
            pid = process.pid
            if process.kernel or pid == us or pid in others:
                continue
            orphan = process.parent == us and (alone or holds_pipe(pid, pipe))
            if orphan or test in (pid, process.session) or carries(pid, variable):
                roots.add(pid)
        return {pid for pid in descendants(table, roots) if pid in table and table[pid].alive}

    def of_run(self, variable: str) -> set[int]:
        """The living processes below the agent, and all that carry the run's token but those above it."""
        table = process_table()
        found = descendants(table, [os.getpid()])
        found |= {pid for pid, process in table.items() if not process.kernel and carries(pid, variable)}
        above = os.getpid()
        while above in table:
            found.discard(above)
            above = table[above].parent
        return {pid for pid in found if table[pid].alive}

    def kill(self, find: Callable[[], set[int]]) -> dict[int, str]:
        """SIGKILL what `find` finds until a pass finds nothing; the command of every process hit, by pid.

        A fork between listing and killing escapes one pass.
        """
        hit: dict[int, str] = {}
        for _ in range(SWEEP_PASSES):
            found = find()
            if not found:
                return hit
            for pid in found:
                hit.setdefault(pid, command_of(pid))
                send_signal(pid, signal.SIGKILL)
            time.sleep(SWEEP_PAUSE_S)
            self.reap()
        for pid in find():
            complain(f"process {pid} ({hit.get(pid, '')}) can't be killed: a call into a driver may hold it")
        return hit


# ---- one attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What all attempts share."""

    spec: Spec
    spec_path: Path
    emitter: Emitter
    children: Children
    stop: Stop
    log_names: set[str]


class Attempt:
    """One try of one test. Made, run and ended in one thread.

    That thread has to live until the test has ended: PR_SET_PDEATHSIG fires when the *thread* that forked ends.
    """

    _process: "subprocess.Popen[bytes]"
    _messages: socket.socket

    def __init__(
        self, shop: Workplace, suite: Suite, test: Test, number: int, gpu_ids: Sequence[str]
    ) -> None:
        limits = shop.spec.limits
        self.facts = AttemptFacts(path=test.path, kind=test.kind, asked=test.metrics)
        self._shop = shop
        self._limits = limits
        self._suite = suite
        self._test = test
        self._number = number
        self._gpu_ids = list(gpu_ids)
        self._token = secrets.token_hex(8)
        self._log_name = log_name(test.id, number, shop.log_names)
        shop.log_names.add(self._log_name)
        path = shop.spec.run_dir / "logs" / self._log_name
        self._log = LogFile(path, head_bytes=limits.log_head_bytes, tail_bytes=limits.log_tail_bytes)
        self._recent = RecentLines(lines=OUTPUT_LINES, line_chars=LINE_CHARS)
        self._selector = selectors.DefaultSelector()
        self._leftovers: dict[int, str] = {}
        self._next_output = 0.0
        self._next_reap = 0.0

    def run(self, suite_deadline: float, *, alone: bool) -> Judgement:
        """Start the test, wait for its end, leave nothing of it behind.

        Args:
            suite_deadline: on the monotonic clock.
            alone: no other attempt runs beside this one.
        """
        started, ooms, facts = time.monotonic(), oom_kills(), self.facts
        self._output, write_end = os.pipe()
        self._pipe = os.fstat(self._output).st_ino
        self._alone = alone
        self._messages, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with self._selector, self._messages, theirs:
                try:
                    self._process = self._spawn(write_end, theirs.fileno())
                except OSError as error:
                    self._emit_started(None)
                    self._log.close()
                    return self._ended(
                        _failed("infra", f"the test process could not be started: {error}"), 0.0
                    )
                finally:
                    os.close(write_end)
                    theirs.close()
                self._emit_started(self._process.pid)
                self._selector.register(self._output, selectors.EVENT_READ, self._read_output)
                self._selector.register(self._messages, selectors.EVENT_READ, self._read_message)
                self._wait(started, suite_deadline)
                duration_s = time.monotonic() - started
                self._clear_away()
                self._pump(0)
        finally:
            os.close(self._output)
        code = self._process.returncode
        if code is not None:
            self._shop.children.forget(self._process.pid)
            facts.exit_code, facts.signal = (code, None) if code >= 0 else (None, _signal_name(-code))
        self._log.close()
        self._emit_output(all_of_it=True)
        facts.oom_kills = oom_kills() - ooms
        facts.log_error = self._log.error
        return self._ended(classify(facts, self._shop.spec.verdict_rules, self._log.text), duration_s)

    def _spawn(self, output: int, events: int) -> "subprocess.Popen[bytes]":
        spec, spec_path, suite, test = self._shop.spec, str(self._shop.spec_path), self._suite, self._test
        env = {
            **os.environ,
            **suite.env,
            **test.env,
            "AMD_CI_TOKEN": spec.token,
            "AMD_CI_ATTEMPT_TOKEN": self._token,
            "AMD_CI_SPEC": spec_path,
            "AMD_CI_TEST": test.id,
            "AMD_CI_SUITE": suite.id,
            "AMD_CI_EVENTS_FD": str(events),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        env["PYTHONPATH"] = os.pathsep.join(p for p in (*spec.pythonpath, env.get("PYTHONPATH")) if p)
        if spec.gpu_ids:
            env["HIP_VISIBLE_DEVICES"] = ",".join(self._gpu_ids)
        argv = [sys.executable, str(Path(__file__).resolve()), "--child", test.kind, str(os.getpid())]
        argv += [spec_path, suite.id, test.id]
        process: subprocess.Popen[bytes] = self._shop.children.spawn(
            argv, cwd=spec.root, env=env, out=output, keep=events
        )
        return process

    def _wait(self, started: float, suite_deadline: float) -> None:
        """Until the test process has ended, by itself or by us."""
        facts, limit_s = self.facts, self._test.timeout_s
        while self._process.poll() is None:
            self._pump(POLL_S)
            now = time.monotonic()
            if self._shop.stop.reason is not None:
                facts.stopped = self._shop.stop.reason
            elif now >= started + limit_s:
                facts.deadline = f"no end within {limit_s:g} s, the file's time limit"
            elif now >= suite_deadline:
                facts.deadline = f"the suite's time limit of {self._suite.timeout_s:g} s came first"
            else:
                continue
            if self._process.poll() is not None:  # it was faster: its own end stands
                facts.stopped = facts.deadline = None
                return
            if facts.deadline is not None and handles(self._process.pid, signal.SIGUSR1):
                # our child mode answers with the stacks of all its threads: where it hangs
                send_signal(self._process.pid, signal.SIGUSR1)
                self._pump(POLL_S)
            self._escalate()
            return

    def _clear_away(self) -> None:
        """End what outlived the test process, after a moment in which it may end by itself."""
        until = time.monotonic() + self._limits.settle_s
        while self._members() and time.monotonic() < until and self._shop.stop.reason is None:
            self._pump(POLL_S)
        self._escalate()

    def _escalate(self) -> None:
        """SIGINT, SIGTERM, SIGKILL, with time to react between them, until nothing of the attempt is left."""
        limits = self._limits
        for number, grace_s, stop_grace_s in (
            (signal.SIGINT, limits.int_grace_s, limits.stop_int_grace_s),
            (signal.SIGTERM, limits.term_grace_s, limits.stop_term_grace_s),
        ):
            for pid in self._members_to_end():
                send_signal(pid, number)
            sent = time.monotonic()
            while True:
                if not self._members():
                    return
                if time.monotonic() - sent >= (grace_s if self._shop.stop.reason is None else stop_grace_s):
                    break
                self._pump(POLL_S)
        self._shop.children.kill(self._members_to_end)

    def _members(self) -> set[int]:
        """The living processes of this attempt."""
        ended = self._process.poll() is not None
        variable = f"AMD_CI_ATTEMPT_TOKEN={self._token}"
        found = self._shop.children.of_test(self._process.pid, variable, self._pipe, alone=self._alone)
        return found - {self._process.pid} if ended else found

    def _members_to_end(self) -> set[int]:
        """The same; those that outlived the test process are leftovers from here on."""
        members = self._members()
        if self._process.poll() is not None:
            for pid in members - self._leftovers.keys():
                self._leftovers[pid] = command_of(pid)
        return members

    def _pump(self, seconds: float) -> None:
        """Read what the test says and prints for so long, less when it closes a pipe; 0: what is there now."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= self._next_reap:
                self._next_reap = now + POLL_S
                self._shop.children.reap()
            if now >= self._next_output:
                self._emit_output()
            ready = self._selector.select(max(0.0, until - now))
            closed = [key.fileobj for key, _ in ready if not key.data()]
            for each in closed:
                self._selector.unregister(each)
            if not ready or (seconds and (closed or time.monotonic() >= until)):
                return

    def _read_output(self) -> bool:
        """Take a piece of the output; false at its end."""
        data = os.read(self._output, READ_BYTES)
        error = self._log.error
        self._log.write(data)
        self._recent.feed(data)
        if self._log.error != error:
            self._emit("note", text=self._log.error)
        return bool(data)

    def _read_message(self) -> bool:
        """Take one message; false when no one is left who could send one."""
        data, _, flags, _ = self._messages.recvmsg(MESSAGE_BYTES)
        if flags & socket.MSG_TRUNC:
            head = data[:200].decode("utf-8", "replace")
            self._emit("note", text=f"a message of more than {MESSAGE_BYTES} bytes was cut: {head}")
        elif data:
            self._heed(*parse_message(data))
        return bool(data)

    def _heed(self, kind: str, keys: dict[str, Any]) -> None:
        """Count what a test process said, and pass it on."""
        facts = self.facts
        if kind == "session":
            facts.session_code = keys["exit_code"]
            return
        if kind == "progress":
            facts.running = keys["text"]
        if kind == "metric":
            facts.metrics.add(keys["metric"])
        if kind == "case":
            case, outcome, message = keys["case"], keys["outcome"], keys["message"]
            if outcome == "failed" and (facts.stopped is not None or facts.deadline is not None):
                self._emit("note", text=f"{case} failed while it was being ended: {message}")
                return
            facts.cases[outcome] += 1
            facts.running = ""
            if outcome == "failed":
                verdict = keys["verdict"] if isinstance(keys["verdict"], str) else None
                failed = FailedCase(case=case, message=message, verdict=verdict, assertion=keys["assertion"])
                facts.failed.append(failed)
            elif outcome == "skipped" and message not in facts.skip_reasons:
                facts.skip_reasons.append(message)
        self._emit(kind, **keys)

    def _emit(self, kind: str, **keys: object) -> None:
        self._shop.emitter.emit(kind, suite=self._suite.id, test=self._test.id, attempt=self._number, **keys)

    def _emit_started(self, pid: int | None) -> None:
        test, log = self._test, f"logs/{self._log_name}"
        times = {"timeout_s": test.timeout_s, "est_s": test.est_s}
        self._emit("test-started", of=self._suite.attempts, log=log, pid=pid, gpu_ids=self._gpu_ids, **times)
        if self._log.error:
            self._emit("note", text=self._log.error)

    def _emit_output(self, *, all_of_it: bool = False) -> None:
        lines = self._recent.take(all_of_it=all_of_it)
        if lines:
            self._next_output = time.monotonic() + OUTPUT_EVERY_S
            self._emit("output", lines=lines)

    def _ended(self, judgement: Judgement, duration_s: float) -> Judgement:
        evidence = judgement.evidence[:EVIDENCE_LINES]
        self._emit(
            "test-ended",
            outcome=judgement.outcome,
            verdict=judgement.verdict,
            evidence=[line[:LINE_CHARS] for line in evidence],
            rule=judgement.rule,
            exit_code=self.facts.exit_code,
            signal=self.facts.signal,
            duration_s=round(duration_s, 3),
            cases=dict(self.facts.cases),
            skip_reasons=self.facts.skip_reasons,
            leftovers=_leftovers(self._leftovers),
            log_bytes=self._log.kept_bytes,
            log_omitted_bytes=self._log.total_bytes - self._log.kept_bytes,
        )
        return judgement


def _leftovers(commands: Mapping[int, str]) -> list[dict[str, object]]:
    return [{"pid": pid, "command": command} for pid, command in commands.items()]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# ---- the queue


class Agent:
    """Works through the suites of a spec."""

    def __init__(self, shop: Workplace) -> None:
        self._shop = shop
        self._spec = shop.spec
        self._stop = shop.stop
        self._emit = shop.emitter.emit
        self._lock = threading.Lock()
        self._failed_by: str | None = None
        self._broken: BaseException | None = None

    def run(self) -> None:
        """Run every suite, sweep, and say that all is done; raises what broke in the agent itself."""
        self._emit(
            "agent-started",
            pid=os.getpid(),
            python=platform.python_version(),
            executable=sys.executable,
            platform=platform.platform(),
            host=socket.gethostname(),
        )
        for suite in self._spec.suites:
            if self._why_cancelled() is None:
                self._run_suite(suite)
            else:
                for test in suite.tests:
                    self._run_test(suite, test, [], alone=True, deadline=math.inf)
        # What an attempt with neighbours could not claim, and whatever else carries the token.
        token = f"AMD_CI_TOKEN={self._spec.token}"
        swept = self._shop.children.kill(lambda: self._shop.children.of_run(token))
        if self._broken is not None:
            raise self._broken
        reason = "cancelled" if self._stop.reason else "fail-fast" if self._failed_by else "done"
        self._emit("agent-ended", reason=reason, leftovers=_leftovers(swept))

    def _run_suite(self, suite: Suite) -> None:
        started = time.monotonic()
        ids = [test.id for test in suite.tests]
        self._emit("suite-started", suite=suite.id, tests=ids, timeout_s=suite.timeout_s)
        queue, free_gpus = deque(suite.tests), list(self._spec.gpu_ids)
        jobs = min(self._spec.jobs, len(queue))
        if free_gpus and suite.gpus:
            jobs = min(jobs, len(free_gpus) // suite.gpus)

        def work() -> None:
            try:
                while True:
                    with self._lock:
                        if not queue:
                            return
                        test = queue.popleft()
                        gpu_ids = [free_gpus.pop(0) for _ in range(suite.gpus)] if free_gpus else []
                    self._run_test(suite, test, gpu_ids, alone=jobs == 1, deadline=started + suite.timeout_s)
                    with self._lock:
                        free_gpus[:] = sorted([*free_gpus, *gpu_ids], key=self._spec.gpu_ids.index)
            except BaseException as error:  # noqa: BLE001 - raised again by `run`, after the sweep
                self._broken = error
                self._stop.request(f"the agent broke: {error!r}")

        workers = [threading.Thread(target=work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_S)  # and not join: signals are handled in this thread
        self._emit("suite-ended", suite=suite.id, duration_s=round(time.monotonic() - started, 3))

    def _run_test(
        self, suite: Suite, test: Test, gpu_ids: list[str], *, alone: bool, deadline: float
    ) -> None:
        """One test with all its attempts, or the reason why it is not run."""
        cancelled = self._why_cancelled()
        if cancelled is not None or time.monotonic() >= deadline:
            because = (
                cancelled
                or f"the suite's time limit of {suite.timeout_s:g} s was over before this test began"
            )
            verdict = "cancelled" if cancelled else "timeout"
            self._emit("test-not-run", suite=suite.id, test=test.id, verdict=verdict, because=because)
            return
        for number in range(1, suite.attempts + 1):
            attempt = Attempt(self._shop, suite, test, number, gpu_ids)
            judgement = attempt.run(deadline, alone=alone)
            if not self._may_retry(suite, test, number, judgement, deadline):
                break
        failed = judgement.outcome == "failed" and gates(test.quarantine, attempt.facts, judgement)
        if self._spec.fail_fast and failed and self._failed_by is None:
            self._failed_by = f"{test.id} of suite {suite.id} failed ({judgement.verdict})"

    def _may_retry(
        self, suite: Suite, test: Test, number: int, judgement: Judgement, deadline: float
    ) -> bool:
        """Whether there is another attempt; if so, its time has come on return."""
        if (
            judgement.outcome != "failed"
            or number >= suite.attempts
            or judgement.verdict not in suite.retry_on
        ):
            return False
        tags = {"suite": suite.id, "test": test.id, "attempt": number}
        resume = time.monotonic() + suite.retry_wait_s
        if resume >= deadline:
            self._emit("note", text="no time for another attempt before the suite's time limit", **tags)
            return False
        because = f"attempt {number} of {suite.attempts} ended with the verdict {judgement.verdict}"
        self._emit("retry", wait_s=suite.retry_wait_s, because=because, **tags)
        while self._stop.reason is None and (left := resume - time.monotonic()) > 0:
            time.sleep(min(POLL_S, left))
        if self._stop.reason is not None:
            self._emit("note", text=f"no further attempt: {self._stop.reason}", **tags)
        return self._stop.reason is None

    def _why_cancelled(self) -> str | None:
        if self._stop.reason is not None:
            return f"stopped: {self._stop.reason}"
        return f"fail-fast: {self._failed_by}" if self._failed_by is not None else None


# ---- the test process


class Channel:
    """The child's end of the events socket, on a descriptor of its own that nothing else closes."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._pid = os.getpid()

    def send(self, **message: object) -> None:
        """Send one message, its longest text halved until it fits; a fork of the test process says nothing."""
        if os.getpid() != self._pid:
            return
        while len(data := json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")) > MESSAGE_BYTES:
            longest = max(message, key=lambda key: len(str(message[key])))
            text = str(message[longest])
            message[longest] = text[len(text) // 2 + 1 :]
        self._socket.send(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a phase or a subtest of a case failed; the keys of a `case` message."""

    message: str
    details: str
    file: str
    line: int | None = None
    verdict: str | None = None
    assertion: bool = False


class CaseReporter:
    """A pytest plugin that reports every case: its phases and subtests taken together, collection errors too."""

    def __init__(self, channel: Channel, spec: Spec, path: str, library: "ModuleType") -> None:
        self._channel = channel
        self._root = spec.root.resolve()
        self._path = path
        self._assertions = (AssertionError, library.fail.Exception)
        self._own_stop = library.Session.Interrupted
        self._total = self._done = 0
        self._begin("", None)

    def _begin(self, case: str, line: int | None) -> None:
        self._case, self._line = case, line
        self._outcome, self._message, self._duration_s = "passed", "", 0.0
        self._failures: list[Failure] = []

    def pytest_collection_finish(self, session: "pytest.Session") -> None:
        self._total = len(session.items)

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._begin(nodeid, None if location[1] is None else location[1] + 1)
        self._channel.send(type="progress", text=nodeid, done=self._done, total=self._total)

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        subtest = hasattr(report, "context")
        self._duration_s += 0.0 if subtest else report.duration
        expected: str | None = getattr(report, "wasxfail", None)
        if report.failed:
            self._outcome = "failed"
            self._message = self._message or _one_line(report.longreprtext)
        elif self._outcome == "passed" and not subtest and expected is not None:
            self._outcome, self._message = "xfailed" if report.skipped else "xpassed", expected
        elif self._outcome == "passed" and not subtest and report.skipped:
            self._outcome, self._message = "skipped", _skip_reason(report.longrepr)

    def pytest_exception_interact(
        self, call: "pytest.CallInfo[object]", report: "pytest.TestReport | pytest.CollectReport"
    ) -> None:
        assert call.excinfo is not None  # noqa: S101 - the hook is called for exceptions only
        if report.when == "collect":
            self._send(
                report.nodeid or self._path, "failed", self._failure(call.excinfo, report.longreprtext)
            )
            return
        subtest = ""
        context = getattr(report, "context", None)
        if context is not None:
            values = [f"{key}={value}" for key, value in dict(context.kwargs).items()]
            subtest = f"[{', '.join([*([str(context.msg)] if context.msg else []), *values])}] "
        self._failures.append(self._failure(call.excinfo, report.longreprtext, subtest))

    def pytest_runtest_logfinish(self) -> None:
        self._done += 1
        # A strict xpass fails without an exception.
        plain = Failure(message=self._message, details="", file=self._path, line=self._line, assertion=True)
        failures = self._failures or [plain]
        # What has no verdict of its own is the worst: a teardown that breaks is not excused by a broken bound.
        worst = min(failures, key=lambda failure: failure.verdict is not None)
        details = "\n\n".join(failure.details for failure in failures)
        self._send(self._case, self._outcome, worst if self._outcome == "failed" else plain, details)

    def pytest_collectreport(self, report: "pytest.CollectReport") -> None:
        if report.skipped:
            skipped = Failure(message=_skip_reason(report.longrepr), details="", file=self._path)
            self._send(report.nodeid or self._path, "skipped", skipped)

    def pytest_internalerror(self, excrepr: object, excinfo: "pytest.ExceptionInfo[BaseException]") -> None:
        self._send(self._path, "failed", self._failure(excinfo, str(excrepr)))

    def pytest_keyboard_interrupt(self, excinfo: "pytest.ExceptionInfo[BaseException]") -> None:
        """Ctrl-C, and `pytest.exit`, whose exit code may well be 0; not pytest's own stop after collection errors."""
        if not isinstance(excinfo.value, self._own_stop):
            self._send(self._case or self._path, "failed", self._failure(excinfo, str(excinfo.getrepr())))

    def _failure(
        self, excinfo: "pytest.ExceptionInfo[BaseException]", text: str, prefix: str = ""
    ) -> Failure:
        error = excinfo.value
        file, line = self._where(excinfo)
        return Failure(
            message=prefix + (_one_line(excinfo.exconly(tryshort=True)) or type(error).__name__),
            details=text,
            file=file,
            line=line,
            verdict=_verdict_of(error),
            assertion=isinstance(error, self._assertions),
        )

    def _where(self, excinfo: "pytest.ExceptionInfo[BaseException]") -> tuple[str, int | None]:
        """The innermost line of the test's own file, else of the tree, else the case's first line."""
        in_tree: tuple[str, int] | None = None
        for entry in reversed(excinfo.traceback):
            path = Path(str(entry.path))
            if path.is_relative_to(self._root) and "site-packages" not in path.parts:
                here = path.relative_to(self._root).as_posix(), entry.lineno + 1
                if here[0] == self._path:
                    return here
                in_tree = in_tree or here
        return in_tree or (self._path, self._line)

    def _send(self, case: str, outcome: str, keys: Failure, details: str = "") -> None:
        text = (details or keys.details).encode("utf-8", "replace")
        if len(text) > DETAILS_BYTES:
            text = b"[...]\n" + text[-DETAILS_BYTES:]
        self._channel.send(
            type="case",
            case=case,
            outcome=outcome,
            duration_s=round(self._duration_s, 4),
            message=keys.message,
            details=text.decode("utf-8", "replace"),
            file=keys.file,
            line=keys.line,
            verdict=keys.verdict,
            assertion=keys.assertion and outcome == "failed",
        )


def _one_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _skip_reason(longrepr: object) -> str:
    reason = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return _one_line(reason.removeprefix("Skipped: "))


def _verdict_of(error: BaseException | None) -> str | None:
    """The attribute `verdict` of an exception or of what caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        verdict = getattr(error, "verdict", None)
        if isinstance(verdict, str):
            return verdict
        error = error.__cause__ or error.__context__
    return None


def be_the_test(kind: str, parent: str, spec_path: str, suite_id: str, test_id: str) -> int:
    """The second mode: become the test process, and end with its exit code."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # the agent died before the kernel knew of our wish
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        # a shell's `&` and nohup have signals ignored, and children inherit that
        if number != signal.SIGPIPE and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    spec = parse_spec(Path(spec_path).read_text(encoding="utf-8"))
    test = next(t for suite in spec.suites if suite.id == suite_id for t in suite.tests if t.id == test_id)
    if kind == "script":
        # A new program and not runpy: `__main__`, `sys.path` and what multiprocessing spawns are then those of
        # `python FILE`. The death signal and the events socket survive the exec.
        os.execv(sys.executable, [sys.executable, str(spec.root / test.path)])  # noqa: S606 - no shell
    return run_pytest(spec, test, Channel(int(os.environ["AMD_CI_EVENTS_FD"])))


def run_pytest(spec: Spec, test: Test, channel: Channel) -> int:
    """Run one test file under pytest, reporting to the agent; pytest's exit code."""
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or 2, all_threads=True)
    # Python put the folder of this file first; nothing in it may be imported by a test.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    try:
        import pytest  # noqa: PLC0415 - the agent itself needs the standard library alone
    except ImportError as error:
        message = f"pytest is not in {sys.executable} ({error}); next: {sys.executable} -m pip install pytest"
        channel.send(type="case", case=test.path, outcome="failed", message=message, verdict="infra")
        return 1
    reporter = CaseReporter(channel, spec, test.path, pytest)
    # No configuration but ours: an ini file above the tree, or our own strict one, would change what runs.
    options = [
        "-c",
        os.devnull,
        f"--rootdir={spec.root}",
        f"--confcutdir={spec.root}",
        "-p",
        "no:cacheprovider",
    ]
    options += ["--capture=no", "--color=no", "-q", *spec.pytest_args]
    sys.argv[:] = ["pytest", test.path]
    code = int(pytest.main([*options, *(test.cases or [test.path])], plugins=[reporter]))
    channel.send(type="session", exit_code=code)
    return code


# ---- the program


def _watch_standard_input(stop: Stop) -> None:
    try:
        while os.read(0, READ_BYTES):
            continue
    except OSError as error:
        complain(f"standard input can't be read: {error}")
    stop.request("standard input reached its end")


def main(arguments: Sequence[str]) -> int:
    """Run as the agent or as a test process; the exit code."""
    if arguments[:1] == ["--child"]:
        return be_the_test(*arguments[1:])
    if len(arguments) != 1:
        complain("usage: agent.py SPEC.json")
        return 2
    spec_path = Path(arguments[0]).resolve()
    try:
        spec = parse_spec(spec_path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SpecError) as error:
        for problem in getattr(error, "problems", (str(error),)):
            complain(f"the spec {spec_path} can't be used: {problem}")
        return 2
    # Whatever prints by mistake prints on standard error: standard output holds events alone.
    output = os.dup(1)
    os.dup2(2, 1)
    stop = Stop()

    def on_signal(number: int, _frame: "FrameType | None") -> None:
        stop.request(f"got {_signal_name(number)}")

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    threading.Thread(target=_watch_standard_input, args=(stop,), daemon=True).start()
    emitter, children = Emitter(output, stop), Children()
    try:
        shop = Workplace(
            spec=spec, spec_path=spec_path, emitter=emitter, children=children, stop=stop, log_names=set()
        )
        Agent(shop).run()
    except BaseException:  # noqa: BLE001 - shown, and the missing `agent-ended` tells the reader
        complain(traceback.format_exc())
        return 1
    return 1 if emitter.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
