"""The agent of one role: starts its server in its turn, says when it is ready, keeps it until it is asked to stop or it ends."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ..judge import Judgement, failed
from ..logs import first_end_in
from ..machine import watch_machine
from ..ports import hold_free
from ..processes import PR_SET_PDEATHSIG, descendants, prctl, process_table, send_signal
from ..spec import Role, Spec, Suite, parse_spec
from ..verdict import AttemptFacts, classify, symptom
from .meeting import ENDED, READY, STARTING, Failure, Meeting, State

__all__ = ["be_the_role", "filled"]

POLL_S = 0.1
# one question whether it is ready
PROBE_S = 2.0
# of a server that does not say why it is not ready
LAST_LINES = 5
EVIDENCE_LINES = 6
# a kill cannot be ignored; a process inside a driver call can be late
_KILLED_S = 2.0
_FIELD = re.compile(r"\{(?:([a-z]+)\.)?([a-z]+)\}")


def be_the_role(parent: str, spec_path: str, folder: str, name: str, host: str, log: str) -> int:
    """The third mode of the agent: the agent of this role, on this node; 0 when it was asked to stop."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # the agent of the test ended before the kernel had our request
        os.kill(os.getpid(), signal.SIGKILL)
    spec = parse_spec(Path(spec_path).read_text(encoding="utf-8"))
    meeting = Meeting(Path(folder))
    about = meeting.about() or {}
    suite = next(each for each in spec.suites if each.id == about["suite"])
    role = next(each for each in suite.roles if each.role == name)
    return RoleAgent(spec, suite, role, meeting, test=about["test"], host=host, log=Path(log)).run()


class RoleAgent:
    """One role on one node. Its server writes into `log`, which is also what a failure is judged by."""

    def __init__(
        self, spec: Spec, suite: Suite, role: Role, meeting: Meeting, *, test: str, host: str, log: Path
    ) -> None:
        self._spec = spec
        self._suite = suite
        self._role = role
        self._meeting = meeting
        self._test = test
        self._host = host
        self._log = log
        self._hurry = False
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by_itself = False
        self._took_s = 0.0
        # of its row, or further on where another run has those; held as long as we live
        self._ports: Mapping[str, int] = role.ports
        self._held = contextlib.ExitStack()
        gpus = os.environ.get("HIP_VISIBLE_DEVICES", "")
        self._gpu_ids = tuple(filter(None, gpus.split(","))) if spec.gpu_ids else ()

    def run(self) -> int:
        """Until the end of its server."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        watch = watch_machine(self._gpu_ids, token=self._spec.token, alone=False)
        judgement = None
        try:
            judgement = self._serve()
        finally:
            code = self._end()
        if self._ended_by_itself:
            facts = AttemptFacts(
                path=str(self._log),
                kind="script",
                test=self._test,
                gpu_ids=self._gpu_ids,
                process=f"the {self._role.role} server",
            )
            facts.exit_code, facts.signal = (code, None) if code >= 0 else (None, signal.Signals(-code).name)
            facts.ended, facts.serves = first_end_in([self._log]), True
            facts.take_machine(watch.end())
            judgement = classify(facts, self._spec.verdicts, self._spec.verdict_rules, self._text)
            if judgement.outcome != "failed":
                judgement = failed("product", facts.end())
        if judgement is None:
            other = self._meeting.failure()
            self._say(ENDED, because=f"ended because {other.role} failed" if other else "")
            return 0
        first = self._meeting.fail(
            Failure(
                role=self._role.role,
                verdict=judgement.verdict,
                evidence=judgement.evidence[:EVIDENCE_LINES],
                rule=judgement.rule,
                symptom=symptom(judgement),
            )
        )
        other = self._meeting.failure()
        because = judgement.evidence[0] if first or other is None else f"ended because {other.role} failed"
        self._say(ENDED, because=because)
        return 1

    def _on_signal(self, _number: int, _frame: "FrameType | None") -> None:
        self._hurry = True

    def _serve(self) -> "Judgement | None":
        """Why it failed; None when it has to end, and when its process ended by itself."""
        while not self._has_to_end():
            before = [
                self._meeting.state(each.role) for each in self._suite.roles if each.order < self._role.order
            ]
            if all(state is not None and state.state == READY for state in before):
                return self._start({state.role: state for state in before if state is not None})
            time.sleep(POLL_S)
        return None

    def _has_to_end(self) -> bool:
        return self._hurry or self._meeting.is_stopped() or self._meeting.failure() is not None

    def _start(self, others: Mapping[str, State]) -> "Judgement | None":
        role, started = self._role, time.monotonic()
        try:
            self._ports, self._held = hold_free(role.ports, self._host)
        except OSError as error:
            what = f"{role.role} finds no free ports on {self._host}: {error.strerror}; and so further on"
            return failed("infra", what, "next: ss -ltnp; the ports are rows of ci/catalog/roles.toml")
        given = {
            "role": role.role,
            "serves": role.serves,
            "model": role.model,
            "host": self._host,
            "port": self._ports["http"],
            "args": filled(role.args, role.role, {**others, role.role: self._state(STARTING)}),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.role_server"],
                env={**os.environ, "AMD_CI_ROLE": json.dumps(given)},
                cwd=self._spec.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._say(STARTING)
        while not self._has_to_end():
            if self._process.poll() is not None:
                self._ended_by_itself = True
                return None
            if not self._took_s and self._is_ready():
                self._took_s = round(time.monotonic() - started, 3)
                self._say(READY)
            if not self._took_s and time.monotonic() - started > role.ready_s:
                what = f"{role.role} was not ready after {role.ready_s:g} s: GET http://{self._host}:{self._ports['http']}{role.ready}"
                return failed("timeout", what, *self._text().splitlines()[-LAST_LINES:])
            time.sleep(POLL_S)
        return None

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self._host, self._ports["http"], timeout=PROBE_S)
        try:
            connection.request("GET", self._role.ready)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _state(self, state: str, because: str = "") -> State:
        pid = self._process.pid if self._process is not None else None
        return State(
            role=self._role.role,
            state=state,
            host=self._host,
            ports=self._ports,
            pid=pid,
            took_s=self._took_s,
            because=because,
        )

    def _say(self, state: str, because: str = "") -> None:
        self._meeting.say(self._state(state, because))

    def _text(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError), self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - self._spec.limits.log_tail_bytes))
            return stream.read().decode("utf-8", "replace")
        return ""

    def _end(self) -> int:
        """End the server and all below it; the exit code that it had by itself, else of its end."""
        process = self._process
        if process is None:
            return 0
        below = descendants(process_table(), [process.pid])
        if process.poll() is None:
            process.terminate()
            sent = time.monotonic()
            while process.poll() is None and time.monotonic() - sent < self._grace_s():
                time.sleep(POLL_S)
        for pid in below | descendants(process_table(), [process.pid]):
            if pid != process.pid or process.poll() is None:
                send_signal(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED_S)
        return process.returncode if process.returncode is not None else -int(signal.SIGKILL)

    def _grace_s(self) -> float:
        limits = self._spec.limits
        return limits.stop_term_grace_s if self._hurry else limits.term_grace_s


def filled(args: Sequence[str], role: str, states: Mapping[str, State]) -> "list[str]":
    """The arguments with the addresses and ports of the roles in place of their fields."""

    def value(found: "re.Match[str]") -> str:
        state = states[found[1] or role]
        return str({**state.ports, "host": state.host}[found[2]])

    return [_FIELD.sub(value, argument) for argument in args]
