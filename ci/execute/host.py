"""The host executor: starts the agent on this machine and hands out its events."""

import json
import os
import selectors
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from ci.errors import CiError, InfrastructureError, Problem, UsageError
from ci.execute.agent_file import AGENT_NAME, agent_file
from ci.execute.agent_stream import AgentStream, Ending, overall_s
from ci.execute.executor import Executor, RunInputs, failed_event
from ci.execute.process_sweep import Found, sweep
from ci.execute.spec import Spec, agent_environ, write_spec
from ci.plan.model import Plan
from ci.record.events import Event
from ci.system import clock
from ci.system.process import Process, capture, start

__all__ = ["HostExecutor", "open_executor", "refuse"]

_READ_BYTES = 1 << 16
_POLL_S = 0.01
# the agent's sweep and its last events after the tests were given their time to end: below 7 s in all
_SWEEP_S = 2.5
# for the arguments of pytest to be tried in every folder: its conftest.py may import an engine
_TRY_S = 600.0


class _HostAgent:
    """The agent as a process of this machine; see RunningAgent."""

    def __init__(self, process: Process, *, token: str, exit_s: float) -> None:
        """It is killed `exit_s` after the end of its output or of its input, whichever comes first."""
        self._process = process
        self._token = token
        self._exit_s = exit_s
        self._exit_at: float | None = None
        self._killed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self.swept: tuple[Found, ...] = ()

    @property
    def _output(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - `start` makes it a pipe
        return self._process.stdout.fileno()

    def read(self, wait_s: float) -> bytes | None:
        if not self._selector.select(wait_s):
            return b""
        return os.read(self._output, _READ_BYTES) or None

    def close_stdin(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        if self._exit_at is None:
            self._exit_at = clock.monotonic_s() + self._exit_s

    def kill(self) -> None:
        self._killed = True
        self._process.kill()
        self._sweep()

    def ending(self) -> Ending:
        code = self._exit_code()
        if self._killed:
            return Ending(cause="it did not end in time and was killed")
        return Ending(cause=f"it was killed by signal {-code}" if code < 0 else f"it exited with {code}")

    def close(self) -> None:
        self.close_stdin()
        self._exit_code()
        self._sweep()
        self._selector.close()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _exit_code(self) -> int:
        """Wait for its end, kill it when that takes too long."""
        give_up = clock.monotonic_s() + self._exit_s
        if self._exit_at is not None:
            give_up = min(give_up, self._exit_at)
        while self._process.poll() is None and clock.monotonic_s() < give_up:
            clock.sleep_s(_POLL_S)
        if self._process.poll() is None:
            self._killed = True
            self._process.kill()
        return self._process.wait()

    def _sweep(self) -> None:
        self.swept += sweep(self._token, wait=clock.sleep_s)


def refuse(plan: Plan, spec: Spec, environ: Mapping[str, str]) -> None:
    """Have the interpreter of the tests try the arguments for pytest.

    Raises:
        UsageError: it does not know them.
    """
    if not spec.pytest_args:
        return
    with tempfile.TemporaryDirectory(prefix="amd-ci-") as name:
        agent, path = Path(name) / AGENT_NAME, Path(name) / "spec.json"
        agent.write_bytes(agent_file().data)
        write_spec(path, spec)
        argv = [plan.placement.python, str(agent), "--try-options", str(path)]
        done = capture(
            argv, cwd=Path(name), env=agent_environ(plan, environ, token=spec.token), timeout_s=_TRY_S
        )
    # without an answer the run itself says what is wrong
    refused = json.loads(done.stdout) if done.code == 0 and done.stdout else None
    if refused is not None:
        raise UsageError(
            refused["what"],
            cause=refused["cause"],
            then=refused["then"],
            problems=[Problem(where="pytest", what=each) for each in refused["problems"]],
        )


def open_executor(run: RunInputs) -> Executor:
    """The executor of a run on this machine."""
    return HostExecutor(run)


class HostExecutor:
    """One agent on this machine. Use as a context manager: whatever happens inside, nothing is left afterwards."""

    def __init__(self, run: RunInputs) -> None:
        self._plan = run.plan
        self._folder = run.folder
        self._token = run.token
        self._environ = run.environ
        self._before = run.before_agent
        self._agent: _HostAgent | None = None
        self._stream: AgentStream | None = None
        self._stopped = False

    @property
    def swept(self) -> tuple[Found, ...]:
        """What outlived the agent and was ended."""
        return self._agent.swept if self._agent is not None else ()

    def start(self, spec: Spec) -> None:
        """Write the spec and start the agent.

        Raises:
            InfrastructureError: the folder cannot be written or the interpreter cannot be started.
        """
        folder, argv = self._folder, [*self._before, self._plan.placement.python, str(self._folder.agent)]
        write_spec(folder.spec, spec)
        env = agent_environ(self._plan, self._environ, token=self._token)
        try:
            folder.agent.write_bytes(agent_file().data)
            with folder.agent_log.open("wb") as log:
                process = start([*argv, str(folder.spec)], cwd=folder.path, env=env, stderr=log)
        except OSError as error:
            raise InfrastructureError(
                f"cannot start the agent: {error.strerror} ({error.filename or argv[0]})",
                cause="the disk is full, or the interpreter is missing or not executable",
                then=f"{argv[0]} --version",
            ) from error
        stop_s = self.stop_s
        self._agent = _HostAgent(process, token=self._token, exit_s=stop_s)
        self._stream = AgentStream(
            self._agent, overall_s=overall_s(self._plan), stop_s=stop_s, log=folder.agent_log
        )

    @property
    def stop_s(self) -> float:
        return self._plan.work.limits.agent.stop_s + _SWEEP_S

    def stop(self, *, at_once: bool = False) -> None:
        """End the tests; safe in a signal handler, and when called again."""
        if self._stream is not None:
            self._stopped = True
            self._stream.stop(at_once=at_once)

    @property
    def goes_on(self) -> bool:
        """Nothing goes on without us."""
        return False

    def detach(self) -> str:
        """Nothing can go on without us."""
        return ""

    def events(self) -> Iterator[Event]:
        """The agent's events, and `executor-failed` as the last one when they end without `agent-ended`."""
        if self._stream is None:
            raise InfrastructureError("the agent was not started", then="report this")
        try:
            yield from self._stream.events()
        except CiError as error:
            yield failed_event(error, stopped=self._stopped)

    def close(self) -> None:
        """End the agent and everything that has the run's token."""
        if self._agent is not None:
            self._agent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
