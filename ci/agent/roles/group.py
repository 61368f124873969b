"""The roles behind one attempt: their agents on this node are started here, those of other nodes by the agents there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..processes import Children, descendants, process_table, send_signal, signal_name
from ..shared_memory import SharedMemory
from ..spec import Role, Spec, Suite, Test
from ..stop import Stop
from .meeting import ENDED, READY, STARTING, Failure, Meeting, State, names_in

__all__ = ["RoleGroup", "RoleProcesses", "is_on_several"]

# an agent notices the end of its server within one look; it then reads the log and the kernel's messages
FAILURE_WAIT_S = 2.0
_POLL_S = 0.1
# how often a test says what it waits for
PROGRESS_EVERY_S = 5.0
# of the run folder: where the agents of each attempt's roles meet
MEETINGS = "roles"
# beyond what a role's server is given to end
_MARGIN_S = 3.0
_KILLED_S = 1.0


def is_on_several(spec: Spec, suite: Suite) -> bool:
    """Whether its roles are on several nodes of this run."""
    return bool(spec.node.number) and len({role.node for role in suite.roles}) > 1


class RoleProcesses:
    """The agents of an attempt's roles that are on this node. Made and ended in one thread."""

    def __init__(
        self,
        *,
        program: Path,
        spec: Spec,
        spec_path: Path,
        children: Children,
        meeting: Meeting,
        suite: Suite,
    ) -> None:
        self._program = program
        self._spec = spec
        self._spec_path = spec_path
        self._children = children
        self._meeting = meeting
        self._suite = suite
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._shared_memory = SharedMemory(spec.shared_memory)

    @property
    def other_nodes(self) -> "set[int]":
        """The numbers of the other nodes that have roles of it."""
        if not is_on_several(self._spec, self._suite):
            return set()
        return {role.node for role in self._suite.roles} - {self._spec.node.number}

    def node_of(self, role: Role) -> int:
        """The number of the node that has a role; roles that are all on one node are on that of their test."""
        own = self._spec.node.number
        return role.node if not own or is_on_several(self._spec, self._suite) else own

    def start(self, logs: Mapping[str, Path], gpu_ids: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start them; each role has GPUs of its own, in the order of the roles.

        Raises:
            OSError: one cannot be started.
        """
        free, node = list(gpu_ids), self._spec.node
        for role in self._suite.roles:
            if node.number and self.node_of(role) != node.number:
                continue
            own, free = free[: role.gpus], free[role.gpus :]
            env = {**environ, **({"HIP_VISIBLE_DEVICES": ",".join(own)} if self._spec.gpu_ids else {})}
            log = logs[role.role]
            log.parent.mkdir(parents=True, exist_ok=True)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            argv = [sys.executable, str(self._program), "--role", str(os.getpid()), str(self._spec_path)]
            argv += [str(self._meeting.folder), role.role, node.host, str(log)]
            try:
                self._processes[role.role] = self._children.spawn(
                    argv, cwd=self._spec.root, env=env, out=out, keep=out
                )
            finally:
                os.close(out)

    def look(self) -> None:
        """Say for an agent that ended without a word that its role failed; find the servers' shared memory."""
        self._shared_memory.look(self._pids)
        for role, process in self._processes.items():
            code = process.poll()
            state = self._meeting.state(role)
            if code is None or (state is not None and state.state == ENDED):
                continue
            how = f"was ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
            what = f"the agent of {role} {how} while its server ran"
            self._meeting.fail(
                Failure(role=role, verdict="infra" if code < 0 else "unknown", evidence=(what,))
            )
            with suppress(OSError):
                self._meeting.say(State(role=role, state=ENDED, host=self._spec.node.host, because=what))

    def _pids(self) -> set[int]:
        running = [process.pid for process in self._processes.values() if process.poll() is None]
        return descendants(process_table(), running)

    def is_over(self) -> bool:
        """Whether none is left."""
        return all(process.poll() is not None for process in self._processes.values())

    def hurry(self) -> None:
        """Give the servers no more time than a stop does."""
        for process in self._processes.values():
            if process.poll() is None:
                send_signal(process.pid, signal.SIGTERM)

    def kill(self) -> list[str]:
        """End what is left, agents and servers; the paths of their shared memory that was still there, now removed."""
        for role, process in self._processes.items():
            state = self._meeting.state(role)
            roots = [
                process.pid,
                *([state.pid] if state is not None and state.pid and process.poll() is None else []),
            ]
            for pid in descendants(process_table(), roots):
                if pid != process.pid or process.poll() is None:
                    send_signal(pid, signal.SIGKILL)
            try:
                process.wait(_KILLED_S)
            except subprocess.TimeoutExpired:
                continue
            self._children.forget(process.pid)
        return self._shared_memory.sweep()


def meetings(spec: Spec) -> Path:
    """Where the agents of each attempt's roles meet; a job that Slurm started again has a folder for each start."""
    return spec.run_dir / MEETINGS / str(spec.node.start)


def lost_name(node: int) -> str:
    """In the folder of the meetings: a node of the run is lost."""
    return f"lost-{node}"


def role_logs(suite: Suite, stem: str, folder: Path) -> "dict[str, Path]":
    """The log of each role, named as those of the servers that a test starts itself."""
    first, _, attempt = stem.partition(".attempt-")
    number = f"-{attempt}" if attempt else ""
    return {role.role: folder / f"{first}.server-{role.role}{number}.log" for role in suite.roles}


class RoleGroup:
    """All roles of an attempt: started, watched and ended by the test's agent, which says what becomes of them."""

    def __init__(
        self,
        processes: RoleProcesses,
        meeting: Meeting,
        suite: Suite,
        *,
        test: str,
        stem: str,
        logs: Path,
        emit: Callable[..., None],
        stop: Stop,
    ) -> None:
        """`stem` is the name of the attempt's log without its ending, `logs` the folder that it is in."""
        self._processes = processes
        self._meeting = meeting
        self._suite = suite
        self._test = test
        self._stem = stem
        self._logs = role_logs(suite, stem, logs)
        self._emit = emit
        self._stop = stop
        self._said: dict[str, str] = {}
        self._next_progress = 0.0
        # what the roles of other nodes left in shared memory, now removed
        self.left_elsewhere: dict[int, list[str]] = {}

    @classmethod
    def behind(
        cls,
        suite: Suite,
        test: Test,
        *,
        program: Path,
        spec: Spec,
        spec_path: Path,
        children: Children,
        stop: Stop,
        stem: str,
        emit: Callable[..., None],
    ) -> "RoleGroup":
        """Those of a suite, for one attempt at a test of it."""
        meeting = Meeting(meetings(spec) / stem)
        processes = RoleProcesses(
            program=program, spec=spec, spec_path=spec_path, children=children, meeting=meeting, suite=suite
        )
        return cls(
            processes,
            meeting,
            suite,
            test=test.id,
            stem=stem,
            logs=spec.run_dir / "logs",
            emit=emit,
            stop=stop,
        )

    def start(self, gpu_ids: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start them all; raises OSError when a folder or a process cannot be made."""
        self._meeting.open({"suite": self._suite.id, "test": self._test, "stem": self._stem})
        self._processes.start(self._logs, gpu_ids, environ)

    def are_ready(self) -> bool:
        """Whether the test may begin; says what is new."""
        self._look()
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            self._emit("progress", text=f"waiting for {self.waits_for()}", done=None, total=None)
        return all(self._said.get(role.role) == READY for role in self._suite.roles)

    def failure(self) -> "Failure | None":
        """The role that failed first."""
        self._look()
        names = names_in(self._meeting.folder.parent)
        for role in self._suite.roles:
            node = self._processes.node_of(role)
            if lost_name(node) in names:
                what = f"node {node}, which has it, was lost"
                self._meeting.fail(Failure(role=role.role, verdict="infra", evidence=(what,)))
        return self._meeting.failure()

    def failure_soon(self) -> "Failure | None":
        """The same, after the time in which a server that has died is judged."""
        until = time.monotonic() + FAILURE_WAIT_S
        while (found := self.failure()) is None and time.monotonic() < until and self._stop.reason is None:
            time.sleep(_POLL_S)
        return found

    def waits_for(self) -> str:
        """The roles that are not ready yet, in words."""
        return ", ".join(role.role for role in self._suite.roles if self._said.get(role.role) != READY)

    def environ(self) -> "dict[str, str]":
        """What a test knows of them."""
        found = {}
        for role in self._suite.roles:
            state = self._meeting.state(role.role)
            if state is not None:
                found[role.role] = {
                    "host": state.host,
                    "ports": dict(state.ports),
                    "log": str(self._logs[role.role]),
                }
        return {"AMD_CI_ROLES": json.dumps(found)}

    def hurry(self) -> None:
        """Give the servers of this node no more time than a stop does."""
        self._processes.hurry()

    def end(self, grace_s: float) -> list[str]:
        """End all of them, those of other nodes too; what those of this node left in shared memory, now removed."""
        if self._meeting.about() is None:
            return []
        hurried = False
        try:
            self._meeting.stop()
        except OSError:  # a full disk must not keep them
            hurried = True
            self._processes.hurry()
        until = time.monotonic() + grace_s + _MARGIN_S
        while time.monotonic() < until and not (self._processes.is_over() and self._are_over()):
            if self._stop.reason is not None and not hurried:
                hurried = True
                self._processes.hurry()
            self._look()
            time.sleep(_POLL_S)
        while time.monotonic() < until and self._waits_for_other_nodes():
            time.sleep(_POLL_S)
        left = self._processes.kill()
        self._look()
        return left

    def _waits_for_other_nodes(self) -> bool:
        """Whether one of them has still to say what its roles left."""
        names = names_in(self._meeting.folder.parent)
        for node in self._processes.other_nodes - self.left_elsewhere.keys():
            left = self._meeting.left(node)
            if left is not None:
                self.left_elsewhere[node] = left
            elif lost_name(node) not in names:
                return True
        return False

    def _are_over(self) -> bool:
        return all(self._said.get(role.role) == ENDED for role in self._suite.roles)

    def _look(self) -> None:
        """Say what has become of each role since the last look."""
        self._processes.look()
        failure = self._meeting.failure()
        for role in self._suite.roles:
            state = self._meeting.state(role.role)
            if state is None:
                continue
            for step in _steps(self._said.get(role.role, ""), state):
                self._say(role, step, state, failure)

    def _say(self, role: Role, step: str, state: State, failure: "Failure | None") -> None:
        self._said[role.role] = step
        if step == READY:
            self._emit("role-ready", role=role.role, took_s=state.took_s)
        elif step == ENDED:
            own = failure is not None and failure.role == role.role
            self._emit(
                "role-ended",
                role=role.role,
                failed=own,
                verdict=failure.verdict if own and failure is not None else "passed",
                because=state.because,
                evidence=list(failure.evidence) if own and failure is not None else [],
            )
        else:
            where = {"node": self._processes.node_of(role), "host": state.host, "ports": dict(state.ports)}
            self._emit("role-started", role=role.role, log=f"logs/{self._logs[role.role].name}", **where)


def _steps(said: str, state: State) -> "list[str]":
    """What is to be said of a role, in its order: a role that was ready is not said to end before that."""
    order = [STARTING, READY, ENDED]
    begun = {STARTING: state.pid is not None, READY: bool(state.took_s), ENDED: True}
    passed = [step for step in order[: order.index(state.state) + 1] if begun[step]]
    return passed[passed.index(said) + 1 :] if said in passed else passed
