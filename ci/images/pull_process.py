"""One pull in a process of its own that is watched: it is killed when it stalls, takes too long or is not wanted."""

import contextlib
import json
import os
import selectors
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ci.errors import ExitCode, InfrastructureError
from ci.images.credentials import Credentials
from ci.images.progress import Progress
from ci.record.phases import Emit
from ci.system.process import Process, start

__all__ = ["POLL_S", "PROGRESS_EVERY_S", "Outcome", "Transfer"]

# how often a waiting pull looks at its deadlines, its lock and whether it was stopped
POLL_S = 0.1
# a live view needs two updates a second; the engine sends four for each layer
PROGRESS_EVERY_S = 0.5
# a process that was killed ends within 0.1 s
_END_S = 2.0

_REPOSITORY = Path(__file__).parent.parent.parent
_PASSED = ("PATH", "HOME", "LANG", "DOCKER_CONFIG", "AMD_CI_TOKEN")
_READ_BYTES = 1 << 16
_HUB_LOGIN = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a pull ended; `problem` is empty when the engine says that it is done.

    `stalled`: we ended it. `gone`: the engine itself could not be reached. `login` is why credentials were not taken.
    """

    problem: str
    stalled: bool = False
    gone: bool = False
    login: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Pulls one image after the other through one engine."""

    engine_host: str
    environ: Mapping[str, str]
    stall_s: float
    emit: Emit
    phase: str
    stopped: Callable[[], bool]
    monotonic_s: Callable[[], float]

    def require_wanted(self) -> None:
        """Raise when we are to stop.

        Raises:
            InfrastructureError: with the exit code of an interrupted run.
        """
        if self.stopped():
            raise InfrastructureError("the pull was stopped", exit_code=ExitCode.INTERRUPTED)

    def pull(
        self,
        name: str,
        tag: str,
        *,
        registry: str,
        credentials: Credentials | None,
        expected_bytes: int,
        most_s: float,
        where: str,
    ) -> Outcome:
        """Pull `name:tag`, or `name@tag` when `tag` is a digest.

        Raises:
            InfrastructureError: we were stopped, or the process cannot be started.
        """
        self.require_wanted()
        spec = {
            "engine_host": self.engine_host,
            "name": name,
            "tag": tag,
            "login_registry": _HUB_LOGIN if registry == "docker.io" else registry,
            "auth": None
            if credentials is None
            else {"username": credentials.username, "password": credentials.token},
        }
        secrets = (credentials.token,) if credentials is not None else ()
        with tempfile.TemporaryFile() as stderr:
            process = self._start(spec, stderr)
            watch = _Watch(Progress(expected_bytes), self.monotonic_s())
            try:
                outcome = self._follow(process, watch, most_s, where)
            finally:
                _end(process, _END_S)
            if outcome is None:
                outcome = Outcome(
                    problem=f"the pulling process ended with {process.returncode}{_tail(stderr)}",
                    login=watch.login,
                )
        return _without(outcome, secrets)

    def _start(self, spec: Mapping[str, Any], stderr: IO[bytes]) -> Process:
        argv = [sys.executable, "-m", "ci.images.pull_worker"]
        passed = {name: self.environ[name] for name in _PASSED if name in self.environ}
        env = {**passed, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            process = start(argv, cwd=_REPOSITORY, env=env, stderr=stderr)
        except OSError as error:
            raise InfrastructureError(
                f"cannot start the pulling process: {error.strerror}", then=f"{argv[0]} --version"
            ) from error
        if process.stdin is not None:
            # a process that is already gone shows at the other pipe
            with contextlib.suppress(BrokenPipeError):
                # our end of the pipe stays open: it is how the process learns that we are gone
                process.stdin.write(json.dumps(spec).encode() + b"\n")
                process.stdin.flush()
        return process

    def _follow(self, process: Process, watch: "_Watch", most_s: float, where: str) -> Outcome | None:
        """Read until the process says how it ended; None when it ends without a word."""
        if process.stdout is None:
            return None
        started, rest = self.monotonic_s(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                ready = selector.select(POLL_S)
                self.require_wanted()
                if ready:
                    chunk = os.read(process.stdout.fileno(), _READ_BYTES)
                    if not chunk:
                        return None
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        end = watch.take(json.loads(line), self.monotonic_s())
                        if end is not None:
                            return end
                    self._show(watch, where)
                now = self.monotonic_s()
                if now - watch.moved_s > self.stall_s:
                    what = f"no progress for {self.stall_s:g} s ({watch.progress.text})"
                    return Outcome(problem=f"{what}{watch.last_retry}", stalled=True, login=watch.login)
                if now - started > most_s:
                    what = f"not done after {most_s:g} s ({watch.progress.text}, {watch.progress.done_bytes} bytes)"
                    return Outcome(problem=what, stalled=True, login=watch.login)

    def _show(self, watch: "_Watch", where: str) -> None:
        now = self.monotonic_s()
        if now - watch.shown_s < PROGRESS_EVERY_S:
            return
        watch.shown_s = now
        self.emit(watch.progress.event(self.phase, where))


class _Watch:
    """What is known of a pull under way."""

    def __init__(self, progress: Progress, now_s: float) -> None:
        self.progress = progress
        self.moved_s = now_s
        self.shown_s = now_s
        self.login = ""
        self.last_retry = ""

    def take(self, line: Mapping[str, Any], now_s: float) -> Outcome | None:
        """Take a line; the outcome when it is the last one."""
        if "login" in line:
            self.login = str(line["login"])
        event = line.get("event")
        if event is not None:
            if self.progress.feed(event, now_s):
                self.moved_s = now_s
            if str(event.get("status", "")).startswith("Retrying"):
                self.last_retry = f"; the engine was trying a layer again: {event.get('id')}"
        if line.get("end") == "ok":
            return Outcome(problem="", login=self.login)
        if line.get("end") == "error":
            return Outcome(problem=str(line["text"]), gone=line["status"] is None, login=self.login)
        return None


def _end(process: Process, patience_s: float) -> None:
    """Kill it unless it has ended, and leave no pipe open: the engine drops a pull whose client is gone."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if process.poll() is None:
        process.kill()
    process.wait(timeout=patience_s)
    if process.stdout is not None:
        process.stdout.close()


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _without(outcome: Outcome, secrets: tuple[str, ...]) -> Outcome:
    """The same with secrets blotted out: a registry may repeat what it was sent."""
    problem, login = outcome.problem, outcome.login
    for secret in secrets:
        problem, login = problem.replace(secret, "***"), login.replace(secret, "***")
    return Outcome(problem=problem, stalled=outcome.stalled, gone=outcome.gone, login=login)
