"""The host executor: starts the agent on this machine and hands out its events."""

import json
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from ci.catalog.verdicts import Verdict
from ci.errors import InfrastructureError
from ci.execute.agent_file import agent_file
from ci.execute.executor import OVERRUN_S, event_of
from ci.execute.process_sweep import Found, sweep
from ci.execute.run_folder import RunFolder
from ci.plan.model import Plan
from ci.system.process import Process, start

__all__ = ["HostExecutor"]

_READ_BYTES = 1 << 16
_LOOK_EVERY_S = 0.2
# the agent's sweep and its last events after the tests were given their time to end: below 7 s in all
_SWEEP_S = 2.5


class HostExecutor:
    """One agent on this machine. Use as a context manager: whatever happens inside, nothing is left afterwards."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        *,
        token: str,
        environ: Mapping[str, str],
        monotonic_s: Callable[[], float],
        sleep_s: Callable[[float], None],
    ) -> None:
        """`environ` is the caller's; only what the plan passes through reaches the agent."""
        self._plan = plan
        self._folder = folder
        self._token = token
        self._environ = environ
        self._now = monotonic_s
        self._sleep = sleep_s
        self._end_s = plan.work.limits.agent.stop_s + _SWEEP_S
        self._agent: Process | None = None
        self._kill_at: float | None = None
        self._killed = False
        self.swept: tuple[Found, ...] = ()

    def start(self, spec: dict[str, Any]) -> None:
        """Write the spec and start the agent.

        Raises:
            InfrastructureError: the folder can't be written or the interpreter can't be started.
        """
        env = {
            name: self._environ[name] for name in self._plan.placement.pass_through if name in self._environ
        }
        env |= {"AMD_CI_TOKEN": self._token, "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [self._plan.placement.python, str(self._folder.agent), str(self._folder.spec)]
        try:
            self._folder.spec.touch(mode=0o600, exist_ok=False)
            self._folder.spec.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
            self._folder.agent.write_bytes(agent_file().data)
            with (self._folder.logs / "agent.log").open("wb") as log:
                self._agent = start(argv, cwd=self._folder.path, env=env, stderr=log)
        except OSError as error:
            raise InfrastructureError(
                f"the agent can't be started: {error.strerror} ({error.filename or argv[0]})",
                cause="the disk is full, or the interpreter is missing or not executable",
                then=f"{argv[0]} --version",
            ) from error

    def stop(self) -> None:
        """Tell the agent to end its tests; safe in a signal handler, and when called again."""
        if self._agent is None:
            return
        if self._agent.stdin is not None and not self._agent.stdin.closed:
            self._agent.stdin.close()
        if self._kill_at is None:
            self._kill_at = self._now() + self._end_s

    def events(self) -> Iterator[dict[str, Any]]:
        """The agent's events as they come, to the end of its stream.

        A line that is no event is handed out as a `note`. When the stream ends without `agent-ended`, the last event is
        `executor-failed`: a clean end of the stream is never a success.
        """
        agent = self._agent
        if agent is None or agent.stdout is None:
            raise InfrastructureError("the agent was not started", then="report this")
        ended = False
        rest = b""
        seq = 0
        deadline = self._now() + self._overall_s()
        with selectors.DefaultSelector() as selector:
            selector.register(agent.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(_LOOK_EVERY_S):
                    now = self._now()
                    if self._kill_at is not None and now > self._kill_at:
                        self._kill()
                    elif now > deadline:
                        self.stop()
                    continue
                chunk = os.read(agent.stdout.fileno(), _READ_BYTES)
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = event_of(line)
                    seq = event.get("seq", seq)
                    ended = ended or event["type"] == "agent-ended"
                    yield event
        code = self._end()
        if not ended:
            yield self._failure(code, seq, rest)

    def close(self) -> None:
        """End the agent and everything that holds the run's token."""
        self.stop()
        if self._agent is not None:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _overall_s(self) -> float:
        """The agent keeps the suites' deadlines; this is for an agent that hangs itself."""
        suites = self._plan.work.suites
        return sum(suite.timeout_s for suite in suites) + OVERRUN_S

    def _kill(self) -> None:
        if self._agent is not None and not self._killed:
            self._killed = True
            self._agent.kill()
            self._sweep()

    def _end(self) -> int:
        """Wait for the agent's end, kill it when it does not come, sweep what is left."""
        agent = self._agent
        if agent is None:
            return 0
        give_up = self._now() + self._end_s
        if self._kill_at is not None:
            give_up = min(give_up, self._kill_at)
        while agent.poll() is None and self._now() < give_up:
            self._sleep(0.01)
        if agent.poll() is None:
            self._killed = True
            agent.kill()
        code = agent.wait()
        self._sweep()
        for pipe in (agent.stdin, agent.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        return code

    def _sweep(self) -> None:
        self.swept += sweep(self._token, wait=self._sleep)

    def _failure(self, code: int, seq: int, rest: bytes) -> dict[str, Any]:
        tail = self._log_tail()
        what = f"the agent's stream ended after event {seq} without agent-ended"
        cause = f"it was killed by signal {-code}" if code < 0 else f"it exited with {code}"
        if self._killed:
            cause = "it did not end in time and was killed"
        if rest:
            cause += f"; the last line was cut: {rest[:80].decode(errors='replace')!r}"
        if tail:
            cause += f"; its log ends: {tail}"
        return {
            "type": "executor-failed",
            "what": what,
            "cause": cause,
            "then": f"read {self._folder.logs / 'agent.log'}",
            "verdict": Verdict.INFRA,
        }

    def _log_tail(self) -> str:
        try:
            lines = (self._folder.logs / "agent.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""
