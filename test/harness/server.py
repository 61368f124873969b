"""Starting the engine's server for a test, and ending it whatever the test does.

with launch(ServerSpec(model="meta-llama/Llama-3.1-8B-Instruct")) as server:
    server.client.completions("The capital of France is", max_tokens=8)
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import events
from harness.client import Client
from harness.engines import llamacpp, sglang
from harness.engines.base import Command, Start
from harness.errors import EngineCrashError, EngineError, HarnessError, InfraError, RequestError, SpecError
from harness.needs import needs, needs_capabilities
from harness.server_log import fatal_traceback, tail
from harness.spec import Spec, child_environment, current, with_path_of

__all__ = ["ENGINES", "Server", "ServerSpec", "launch"]

# llama.cpp's server is ready after 0.5 s warm; a second's poll would double the wait
READY_POLL_S = 0.1
# how often a test says that it still waits for its server
PROGRESS_EVERY_S = 5.0
# a dying server resets its connections before its process can be waited for: below 0.1 s for SIGKILL
DEATH_WAIT_S = 2.0
# lines of the server's log in the failure of a test: fits a terminal and an annotation
LOG_TAIL_LINES = 50
SHARED_MEMORY = Path("/dev/shm")
# how a shell says that a process was ended by SIGKILL
_EXIT_KILLED = 128 + signal.SIGKILL

ENGINES: Mapping[str, Callable[[Start], Command]] = {"llamacpp": llamacpp.command, "sglang": sglang.command}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """The server that a test wants.

    `args` and `env` are SGLang's; a stand-in ignores `args`. `asks` are ids of `ci/catalog/capabilities.toml`: the row for
    the engine and hardware class decides whether its arguments follow `args`. `requires` are such ids too, and without
    one of them the test is skipped with the reason of its row. `embeddings` starts it so that it answers /v1/embeddings. `slots` and `context` (tokens of each slot) override the
    stand-in's row and mean nothing to SGLang. `port` forces one, for tests that need to know it beforehand.
    `path_variable` names the environment variable that may replace the path of the model's row (`--env NAME=PATH`).
    """

    model: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    embeddings: bool = False
    path_variable: str = ""
    launch_timeout_s: float | None = None
    slots: int | None = None
    context: int | None = None
    port: int | None = None


class Server:
    """A running server. `alias` is its name in /v1/models, made up for this one start."""

    def __init__(
        self,
        *,
        spec: Spec,
        model: str,
        start: Start,
        command: Command,
        process: subprocess.Popen[bytes],
        log: Path,
    ) -> None:
        self.model = model
        self.alias = start.alias
        self.port = start.port
        self.base_url = f"http://127.0.0.1:{start.port}"
        self.log_path = log
        self._spec = spec
        self._command = command
        self._process = process
        self._death_told = False
        self.client = Client(
            port=start.port,
            model=start.alias,
            timeout_s=spec.limits.request_s,
            defaults=command.request_defaults,
            diagnose=self._diagnose,
            generates=command.generates,
        )
        # while it starts a refused connection means "not yet" and needs no diagnosis
        self._probe = Client(port=start.port, model=start.alias, timeout_s=spec.limits.probe_s)

    @property
    def pid(self) -> int:
        """The server's process id, which is also its process group's."""
        return self._process.pid

    def parallel(self, asked: int) -> int:
        """How many requests to have under way: what was asked for, at most one for each slot of a stand-in."""
        return min(asked, self._command.slots or asked)

    def log_tail(self) -> str:
        """The last lines of the server's log, at most `LOG_TAIL_LINES`."""
        return tail(self.log_path, LOG_TAIL_LINES)

    def ending(self) -> str | None:
        """How the server's process ended, e.g. `signal SIGSEGV`; None while it lives."""
        code = self._process.poll()
        if code is None:
            return None
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def failure(self, what: str) -> EngineError:
        """The error for a server that did not do its part: its ending, what ended it, and the tail of its log."""
        ending = self.ending()
        state = f"it ended with {ending}" if ending else f"process {self.pid} is still alive"
        self._death_told = self._death_told or ending is not None
        if self._process.returncode in {-signal.SIGKILL, _EXIT_KILLED} and self._command.when_killed:
            state += f" ({self._command.when_killed})"
        last_lines, raised = self.log_tail(), fatal_traceback(self.log_path)
        # printed twice it would only be longer
        cause = f"\n--- what ended it ---\n{raised}" if raised and raised not in last_lines else ""
        error = EngineCrashError if self._command.under_test else EngineError
        return error(
            f"{what}: {state}{cause}\n--- last lines of {self.log_path} ---\n{last_lines}\n---",
            then=f"less {self.log_path}",
        )

    def _diagnose(self, what: str, error: Exception) -> HarnessError:
        # a dying server resets its connections before its process can be waited for
        deadline = time.monotonic() + DEATH_WAIT_S
        while self.ending() is None and not isinstance(error, TimeoutError) and time.monotonic() < deadline:
            time.sleep(READY_POLL_S)
        if self.ending() is not None:
            return self.failure(f"the server died under the test: {what}: {type(error).__name__}: {error}")
        if isinstance(error, TimeoutError):
            return RequestError(f"{what}: no answer within {self.client.timeout_s:g} s from a living server")
        return RequestError(f"{what}: a living server broke the connection: {type(error).__name__}: {error}")

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait for the health path to answer and the model list to show our alias.

        Raises `EngineError` when the process ends or time runs out, `InfraError` when somebody else answers.
        """
        started = time.monotonic()
        reported = 0.0
        while True:
            elapsed = time.monotonic() - started
            if self.ending() is not None:
                raise self.failure(
                    f"the server for {self.model} ended {elapsed:.1f} s after its start, before it was ready"
                )
            if elapsed > timeout_s:
                raise self.failure(f"the server for {self.model} was not ready after {timeout_s:g} s")
            if elapsed - reported >= PROGRESS_EVERY_S:
                reported = elapsed
                events.progress(
                    f"waiting for the server of {self.model} (seconds)", round(elapsed, 1), timeout_s
                )
            # any failure here is "not yet": the loop's own conditions decide when it is one
            with contextlib.suppress(HarnessError):
                self._probe.get(self._command.health_path)
                names = self._probe.models()
                if self.alias in names:
                    break
                raise _Stranger(names)
            time.sleep(READY_POLL_S)
        ready_s = time.monotonic() - started
        events.note(
            f"server of {self.model} ready after {ready_s:.1f} s, log {self.log_path.name}",
            server_s=round(ready_s, 3),
        )

    def stop(self) -> None:
        """End the server and everything in its process group; silent when it is gone."""
        stop_s = self._spec.limits.stop_s
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(stop_s)
            except subprocess.TimeoutExpired:
                events.note(
                    f"the server (process {self.pid}) did not end within {stop_s:g} s of SIGTERM: killed"
                )
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for name in self._command.shared_memory:
            (SHARED_MEMORY / name.format(pid=self.pid)).unlink(missing_ok=True)

    def raise_if_it_died(self) -> None:
        """Raise when the server ended by itself and no request has said so yet."""
        if self.ending() is not None and not self._death_told:
            raise self.failure("the server died by itself during the test, between or after its requests")


class _Stranger(Exception):  # noqa: N818  # not an error by itself: says whose port it is
    """Somebody else answers on our port; `args[0]` are the models that it serves."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _taken(port: int, cause: str) -> InfraError:
    return InfraError(
        f"port {port} is taken by another process", cause=cause, then=f"ss -ltnp 'sport = :{port}'"
    )


def _claim(port: int) -> int:
    """`port`, if nobody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # closed connections of a former server don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise _taken(port, f"a server of an earlier run still lives: {error.strerror}") from error
    return port


def _launch_timeout_s(spec: Spec, wanted: ServerSpec) -> float:
    """What the test grants, else the engine's own; a stand-in's start never takes what a large model's may."""
    own = spec.limits.launch_s
    asked = wanted.launch_timeout_s or own
    return min(asked, own) if spec.rehearsal else asked


def _granted(spec: Spec, asks: tuple[str, ...]) -> list[str]:
    """The arguments of the capabilities that this engine and hardware class have; a note says what is left out."""
    granted: list[str] = []
    for name in asks:
        capability = spec.capability(name)
        if capability.allowed:
            granted += capability.args
        else:
            events.note(
                f"left out {' '.join(capability.args) or name} ({name} for {spec.engine} on {spec.hardware_class}) "
                f"because {capability.why}" + (f" ({capability.issue})" if capability.issue else "")
            )
    return granted


def _new_log(spec: Spec) -> Path:
    """An empty log that no earlier server of this test has: `<test>.server-<n>.log`."""
    folder = spec.run_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    # the agent names the test's own log in the same way
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", spec.test).strip("._")[-150:] or "test"
    number = 1
    while True:
        path = folder / f"{name}.server-{number}.log"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            owner = folder.stat()
            if owner.st_uid != os.geteuid():  # in a container we are root, and the folder is the user's
                os.chown(path, owner.st_uid, owner.st_gid)
            return path


@contextlib.contextmanager
def launch(wanted: ServerSpec) -> Iterator[Server]:
    """Start a server, wait until it is ready, hand it out, end it.

    Skips when the engine lacks a feature in `wanted.needs` or a capability in `wanted.requires`. Raises `EngineError` (or its kind for the engine under
    test) when the server does not become ready or dies, `InfraError` for a missing installation or a taken port.

    Call it from a thread that outlives the server, such as the main one: a stand-in dies with the thread that started it.
    """
    needs(*wanted.needs)
    needs_capabilities(*wanted.requires)
    spec = current()
    model = with_path_of(spec.model(wanted.model), wanted.path_variable)
    if spec.engine not in ENGINES:
        raise SpecError(
            f"no engine {spec.engine!r} in test/harness/server.py (known: {', '.join(sorted(ENGINES))})"
        )
    start = Start(
        model=model,
        alias=f"{(model.stand_in.id if model.stand_in else model.id).rsplit('/', 1)[-1]}-{secrets.token_hex(4)}",
        port=_free_port() if wanted.port is None else _claim(wanted.port),
        args=(*spec.engine_args, *wanted.args, *_granted(spec, (*wanted.requires, *wanted.asks))),
        embeddings=wanted.embeddings,
        slots=wanted.slots,
        context=wanted.context,
    )
    command = ENGINES[spec.engine](start)
    log = _new_log(spec)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command.argv,
            env=child_environment({**command.env, **wanted.env}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that ending it takes its children along
        )
    server = Server(spec=spec, model=wanted.model, start=start, command=command, process=process, log=log)
    try:
        try:
            server.wait_until_ready(_launch_timeout_s(spec, wanted))
        except _Stranger as stranger:
            raise _taken(
                start.port, f"it serves {', '.join(stranger.args[0]) or 'no model'}, not ours"
            ) from None
        yield server
        server.raise_if_it_died()
    finally:
        server.stop()
