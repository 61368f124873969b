"""One attempt of one test: from its process to its verdict."""

import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cases import Cases
from .events import Emitter
from .judge import Ended, Judgement
from .judge.tracebacks import ProcessEnds
from .logs import LogFile, RecentLines, new_log
from .machine import MachineWatch, watch_machine
from .measures import Measures
from .messages import MESSAGE_BYTES, parse_message
from .processes import Children, command_of, leftover_list, send_signal, signal_name
from .proof import Excuses
from .roles.group import RoleGroup
from .server_logs import ServerLogs
from .shared_memory import SharedMemory
from .spec import Spec, Suite, Test
from .stacks import Hang
from .stop import Stop
from .verdict import AttemptFacts, classify, gates, symptom

# how often an attempt looks at its deadlines, its orphans and whether it was stopped: one look takes 1.3 ms
POLL_S = 0.1
# a live view needs no more than two updates a second, of a terminal's height; the log holds the rest
OUTPUT_EVERY_S = 0.5
OUTPUT_LINES = 40
# a longer line in an output event or as evidence is cut
LINE_CHARS = 2000
# lines that prove a verdict; an annotation has no room for more
EVIDENCE_LINES = 8
_READ_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all attempts of a run share; `program` is the file that the agent was started with, `ended` the attempts so far."""

    program: Path
    spec: Spec
    spec_path: Path
    emitter: Emitter
    children: Children
    stop: Stop
    log_names: set[str]
    ended: list[Ended]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt runs: the number of its slot (from 1; 0: one test runs at a time), its GPUs, and what it has for itself in its environment."""

    slot: int
    gpu_ids: tuple[str, ...]
    environ: Mapping[str, str]


def test_environ(context: RunContext, suite: Suite, test: Test) -> dict[str, str]:
    """The environment of a test, without what is an attempt's own."""
    environ = {
        **os.environ,
        **suite.env,
        **test.env,
        "AMD_CI_TOKEN": context.spec.token,
        "AMD_CI_SPEC": str(context.spec_path),
        "AMD_CI_TEST": test.id,
        "AMD_CI_SUITE": suite.id,
        "PYTHONDONTWRITEBYTECODE": "1",
        # a Python process that a signal ends prints where it was
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
    }
    paths = (*context.spec.pythonpath, environ.get("PYTHONPATH"))
    environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environ


def child_argv(context: RunContext, mode: str, suite: Suite, test: Test) -> list[str]:
    """The command that becomes a test process."""
    argv = [sys.executable, str(context.program), "--child", mode, str(os.getpid())]
    return [*argv, str(context.spec_path), suite.id, test.id]


class Attempt:
    """One attempt of one test. Made, run and ended in one thread; `gates` then says whether it counts against the run.

    That thread has to live until the test has ended: PR_SET_PDEATHSIG fires when the *thread* that forked ends.
    """

    _process: "subprocess.Popen[bytes]"
    _messages: socket.socket

    def __init__(self, context: RunContext, suite: Suite, test: Test, number: int, place: Place) -> None:
        limits = context.spec.limits
        self.gates = False
        self.facts = AttemptFacts(path=test.path, kind=test.kind, test=test.id, gpu_ids=place.gpu_ids)
        self._context = context
        self._limits = limits
        self._suite = suite
        self._test = test
        self._number = number
        self._place = place
        self._gpu_ids = list(place.gpu_ids)
        self._token = secrets.token_hex(8)
        logs = context.spec.run_dir / "logs"
        self._log_name = new_log(logs, test.id, number, context.log_names)
        path = logs / self._log_name
        self._log = LogFile(path, head_bytes=limits.log_head_bytes, tail_bytes=limits.log_tail_bytes)
        self._recent = RecentLines(lines=OUTPUT_LINES, line_chars=LINE_CHARS)
        self._ends = ProcessEnds()
        root = context.spec.root.resolve()
        self._server_logs = ServerLogs(context.spec.run_dir / "logs", test.id)
        self._cases = Cases(
            self.facts,
            Measures(test.metrics, path=test.path, narrowed=bool(test.cases or context.spec.pytest_args)),
            quarantine=test.quarantine,
            excuses=Excuses(context.spec.cpu_tests, root, test.path, self._ends),
            ends=self._ends,
            logs=self._server_logs,
        )
        self._selector = selectors.DefaultSelector()
        self._leftovers: dict[int, str] = {}
        self._shared_memory = SharedMemory(context.spec.shared_memory)
        self._left_in_memory: list[str] = []
        self._hang: Hang | None = None
        self._roles = (
            RoleGroup.behind(
                suite,
                test,
                program=context.program,
                spec=context.spec,
                spec_path=context.spec_path,
                children=context.children,
                stop=context.stop,
                stem=self._log_name.removesuffix(".log"),
                emit=self._emit,
            )
            if suite.roles
            else None
        )
        self._next_output = 0.0
        self._next_reap = 0.0

    @property
    def mark(self) -> str:
        """What its processes carry in their environment."""
        return f"AMD_CI_ATTEMPT_TOKEN={self._token}"

    def run(self, suite_deadline: float, *, alone: bool) -> Judgement:
        """Start the test, wait for its end, leave nothing of it behind.

        Args:
            suite_deadline: on the monotonic clock.
            alone: no other attempt runs beside this one.
        """
        started = time.monotonic()
        watch = watch_machine(self._gpu_ids, token=self._context.spec.token, alone=alone)
        self._output, write_end = os.pipe()
        os.set_blocking(self._output, False)
        self._pipe = os.fstat(self._output).st_ino
        self._alone = alone
        self._messages, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with self._selector, self._messages, theirs:
                try:
                    is_started = self._start(started, suite_deadline, write_end, theirs.fileno())
                finally:
                    os.close(write_end)
                    theirs.close()
                if is_started:
                    duration_s = self._until_its_end(started, suite_deadline)
                else:
                    duration_s = time.monotonic() - started
                if self._roles is not None:
                    self._left_in_memory += self._roles.end(self._limits.term_grace_s)
                self._left_in_memory += self._shared_memory.sweep()
        finally:
            os.close(self._output)
        self._log.close()
        self._emit_output(all_of_it=True)
        return self._ended(self._judged(watch), duration_s)

    def _start(self, started: float, suite_deadline: float, output: int, messages: int) -> bool:
        """Start the test process, after the roles behind it; false when there is none, and the facts have the reason."""
        facts, roles = self.facts, self._roles
        if roles is not None:
            self._emit_started(None)
            try:
                if not self._are_roles_ready(roles, started, suite_deadline):
                    return False
            except OSError as error:
                what = f"the roles of {self._suite.id} could not be started: {error}"
                facts.not_started = (what, f"next: df -h {self._context.spec.run_dir}")
                return False
        try:
            self._process = self._spawn(output, messages)
        except OSError as error:
            facts.not_started = (f"the test process could not be started: {error}",)
        if roles is None:
            self._emit_started(None if facts.not_started else self._process.pid)
        return not facts.not_started

    def _until_its_end(self, started: float, suite_deadline: float) -> float:
        """Wait for the end of the test process and end what it has left; the seconds until its own end."""
        facts = self.facts
        self._selector.register(self._output, selectors.EVENT_READ, self._read_output)
        self._selector.register(self._messages, selectors.EVENT_READ, self._read_message)
        self._wait(started, suite_deadline)
        duration_s = time.monotonic() - started
        self._clear_away()
        self._pump(0)
        code = self._process.returncode
        if code is not None:
            self._context.children.forget(self._process.pid)
            facts.exit_code, facts.signal = (code, None) if code >= 0 else (None, signal_name(-code))
        if self._roles is not None and facts.stopped is None and facts.role is None:
            # a server that ended explains a test that failed
            facts.role = self._roles.failure_soon() if code else self._roles.failure()
        self._cases.take_last_end(str(self._context.spec.root / self._test.path))
        self._cases.take_bounds()
        return duration_s

    def _judged(self, watch: MachineWatch) -> Judgement:
        """The judgement of the attempt, which those after it see too."""
        spec, facts = self._context.spec, self.facts
        facts.take_machine(watch.end())
        facts.log_error = self._log.error
        facts.serves = bool(self._server_logs.all())
        facts.earlier = tuple(self._context.ended)
        judgement = classify(facts, spec.verdicts, spec.verdict_rules, self._log.text)
        passed = judgement.outcome == "passed"
        ended = Ended(test=facts.test, verdict=judgement.verdict, gpu_ids=facts.gpu_ids, passed=passed)
        self._context.ended.append(ended)
        return judgement

    def _environ(self) -> dict[str, str]:
        """The test's environment on its slot; what an env set or the user gives a variable stands."""
        suite, test = self._suite, self._test
        given = suite.env.keys() | test.env.keys()
        own = {name: value for name, value in self._place.environ.items() if name not in given}
        return {**test_environ(self._context, suite, test), **own}

    def _are_roles_ready(self, roles: RoleGroup, started: float, suite_deadline: float) -> bool:
        """Start the roles and wait for them; what came in between is in the facts."""
        facts = self.facts
        roles.start(self._place.gpu_ids, self._environ())
        while not roles.are_ready():
            if self._context.stop.reason is not None:
                facts.stopped = self._context.stop.reason
            elif (failure := roles.failure()) is not None:
                facts.role = failure
            elif (late := self._past(started, suite_deadline)) is not None:
                facts.deadline = f"{late}, waiting for {roles.waits_for()}"
            else:
                self._pump(POLL_S)
                continue
            return False
        return True

    def _past(self, started: float, suite_deadline: float) -> "str | None":
        """The time limit that has expired."""
        now, limit_s = time.monotonic(), self._test.timeout_s
        if now >= started + limit_s:
            return f"no end within {limit_s:g} s, the file's time limit"
        if now >= suite_deadline:
            return f"the suite's time limit of {self._suite.timeout_s:g} s expired first"
        return None

    def _spawn(self, output: int, events: int) -> "subprocess.Popen[bytes]":
        spec, suite, test = self._context.spec, self._suite, self._test
        env = self._environ()
        env |= self._roles.environ() if self._roles is not None else {}
        env |= {"AMD_CI_ATTEMPT_TOKEN": self._token, "AMD_CI_EVENTS_FD": str(events)}
        if spec.gpu_ids:
            env["HIP_VISIBLE_DEVICES"] = ",".join(self._gpu_ids)
        argv = child_argv(self._context, test.kind, suite, test)
        process: subprocess.Popen[bytes] = self._context.children.spawn(
            argv, cwd=spec.root, env=env, out=output, keep=events
        )
        return process

    def _wait(self, started: float, suite_deadline: float) -> None:
        """Until the test process has ended, by itself or by us."""
        facts = self.facts
        while self._process.poll() is None:
            self._pump(POLL_S)
            self._shared_memory.look(self._members)
            if self._context.stop.reason is not None:
                facts.stopped = self._context.stop.reason
                if self._roles is not None:
                    self._roles.hurry()
            elif self._roles is not None and (role := self._roles.failure()) is not None:
                facts.role = role
            elif (late := self._past(started, suite_deadline)) is not None:
                facts.deadline = late
            else:
                continue
            if self._process.poll() is not None:  # it had already ended by itself
                facts.stopped = facts.deadline = None
                return
            if facts.deadline is not None:
                self._look_where_it_hangs()
            self._escalate()
            return

    def _look_where_it_hangs(self) -> None:
        """Stacks of the test and of its servers, and what the servers printed last, into the log and as evidence."""
        self._hang = hang = Hang(self._context.spec.root.resolve(), self._test.path)
        hang.take(
            self._process.pid,
            self._members(),
            may_abort=self._may_abort,
            write=self._write,
            pump=self._pump,
        )
        tails = self._server_logs.tails()
        for name, text in tails.items():
            self._write(f"[agent] the last lines of {name}:\n{text}\n")
        self.facts.hang = hang.evidence(server_logs=tails.values())
        self._hang = None

    def _may_abort(self, pid: int) -> bool:
        """A pytest process prints its stacks without it, and has cases to tear down."""
        is_pytest = pid == self._process.pid and self._test.kind == "pytest"
        return not self._context.spec.gpu_ids and not is_pytest

    def _write(self, text: str) -> None:
        """Lines of our own in the log."""
        data = text.encode("utf-8", "replace")
        self._log.write(data)
        self._recent.feed(data)

    def _clear_away(self) -> None:
        """End what outlived the test process, after a moment in which it may end by itself."""
        until = time.monotonic() + self._limits.settle_s
        while self._members():
            if time.monotonic() >= until or self._context.stop.reason is not None:
                self._escalate()
                return
            self._shared_memory.look(self._members)
            self._pump(POLL_S)

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
                if time.monotonic() - sent >= (
                    grace_s if self._context.stop.reason is None else stop_grace_s
                ):
                    break
                self._pump(POLL_S)
        self._context.children.kill(self._members_to_end)

    def _members(self) -> set[int]:
        """The running processes of this attempt."""
        ended = self._process.poll() is not None
        found = self._context.children.of_test(self._process.pid, self.mark, self._pipe, alone=self._alone)
        return found - {self._process.pid} if ended else found

    def _members_to_end(self) -> set[int]:
        """The same; those that outlived the test process are leftovers from here on."""
        members = self._members()
        if self._process.poll() is not None:
            for pid in members - self._leftovers.keys():
                self._leftovers[pid] = command_of(pid)
        return members

    def _pump(self, seconds: float) -> None:
        """Read messages and output of the test for so long, less when it closes a pipe; 0: what is there now."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= self._next_reap:
                self._next_reap = now + POLL_S
                self._context.children.reap()
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
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:  # a message of the same look has taken it
            return True
        error = self._log.error
        self._log.write(data)
        self._recent.feed(data)
        self._ends.feed(data)
        if self._hang is not None:
            self._hang.feed(data)
        if self._log.error != error:
            self._emit("note", text=self._log.error)
        return bool(data)

    def _read_message(self) -> bool:
        """Take one message; false when no process can send another."""
        data, _, flags, _ = self._messages.recvmsg(MESSAGE_BYTES)
        if flags & socket.MSG_TRUNC:
            head = data[:200].decode("utf-8", "replace")
            self._emit("note", text=f"a message of more than {MESSAGE_BYTES} bytes was cut: {head}")
        elif data:
            self._take(*parse_message(data))
        return bool(data)

    def _take(self, kind: str, keys: dict[str, Any]) -> None:
        """Count a message of the test process, and pass it on."""
        facts = self.facts
        if kind == "session":
            facts.session_code, facts.problems = keys["exit_code"], tuple(map(str, keys["problems"]))
            return
        if kind == "collected":
            self._cases.measures.collect(keys["names"])
            return
        if kind == "progress":
            facts.running = keys["text"]
        if kind == "metric":
            self._cases.measures.take(keys)
        if kind == "case":
            if keys["outcome"] == "failed" and (facts.stopped is not None or facts.deadline is not None):
                text = f"{keys['case']} failed while it was being ended: {keys['message']}"
                self._emit("note", text=text)
                return
            self._read_output()  # what was printed before the message: a pipe holds no more than one read takes
            self._cases.take(keys)
        self._emit(kind, **keys)

    def _emit(self, kind: str, **keys: object) -> None:
        self._context.emitter.emit(
            kind, suite=self._suite.id, test=self._test.id, attempt=self._number, **keys
        )

    def _emit_started(self, pid: int | None) -> None:
        test, log = self._test, f"logs/{self._log_name}"
        times = {"timeout_s": test.timeout_s, "est_s": test.est_s}
        of = max(self._suite.attempts, self._number)
        where = {"slot": self._place.slot, "gpu_ids": self._gpu_ids}
        self._emit("test-started", of=of, log=log, pid=pid, **where, **times)
        if self._log.error:
            self._emit("note", text=self._log.error)

    def _emit_output(self, *, all_of_it: bool = False) -> None:
        lines = self._recent.take(all_of_it=all_of_it)
        if lines:
            self._next_output = time.monotonic() + OUTPUT_EVERY_S
            self._emit("output", lines=lines)

    def _ended(self, judgement: Judgement, duration_s: float) -> Judgement:
        evidence = judgement.evidence[:EVIDENCE_LINES]
        self.gates = gates(self._test.quarantine, self.facts, judgement, self._context.spec.verdicts)
        self._emit(
            "test-ended",
            outcome=judgement.outcome,
            verdict=judgement.verdict,
            gates=self.gates,
            evidence=[line[:LINE_CHARS] for line in evidence],
            rule=judgement.rule,
            symptom=symptom(judgement),
            exit_code=self.facts.exit_code,
            signal=self.facts.signal,
            duration_s=round(duration_s, 3),
            cases=dict(self.facts.cases),
            skip_reasons=self.facts.skip_reasons,
            oom_kills=self.facts.oom_kills,
            kernel_log=list(self.facts.kernel_log),
            memory_holders=list(self.facts.holders),
            unknown=list(self.facts.unknown),
            unmeasured=[each.event(judgement.evidence) for each in self.facts.unmeasured],
            leftovers=leftover_list(
                self._leftovers,
                self._left_in_memory,
                self._roles.left_elsewhere if self._roles is not None else None,
            ),
            server_logs=sorted(path.name for path in self._server_logs.new()),
            log_bytes=self._log.kept_bytes,
            log_omitted_bytes=self._log.total_bytes - self._log.kept_bytes,
        )
        return judgement
