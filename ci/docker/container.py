"""A container from its creation to its removal, and commands in it.

Its main process waits for the end of its standard input, which the engine holds open for this process: when we are
killed, the engine ends the container and removes it. The attached socket is not inherited by children.
"""

import contextlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.docker.client import Client, EngineError, Hijacked, faults
from ci.docker.command_runner import Ended
from ci.docker.exec import Exec
from ci.docker.exit_cause import ExitCause, find_exit_cause, is_paused
from ci.docker.stream import STDERR, STDOUT
from ci.errors import CiError, InfrastructureError
from ci.plan.container.needs import BIN_DIR
from ci.system import clock

__all__ = [
    "BY_SIGNAL",
    "KILL_S",
    "LOOK_S",
    "REMOVE_S",
    "Container",
    "StoppedError",
    "Watch",
    "adopt",
    "create",
    "remove_container",
]

_CI = Path(__file__).parents[1]
# what is copied into a container: the name there -> the file here
_PROGRAMS = {
    "inspector.py": _CI / "install" / "inspector.py",
    "container_init.py": _CI / "docker" / "container_init.py",
}
# an exit code above it is a signal's number more
BY_SIGNAL = 128
_EXEC_TOKEN = "AMD_CI_EXEC"  # noqa: S105 - a variable's name


# how often a silent exec looks at stops, deadlines and whether the container still moves: one look takes 1 ms
LOOK_S = 0.2
# the engine reports an exec's exit code a moment after its stream has ended: 2.05 s when a child holds the output
_EXEC_CODE_S = 5.0
# one pass of the sweep inside takes 59 to 81 ms; the container itself is killed when it takes longer
KILL_S = 1.0
# the engine reports the end of a container within 0.1 s of that of what ran in it
_EXIT_S = 0.5
# removing a container with its volumes takes 0.14 s; what is left then is named, and the next start removes it
REMOVE_S = 2.0


class StoppedError(CiError):
    """We were stopped."""


@dataclass(slots=True, kw_only=True)
class Container:
    """A started container: a Shell (see ci.docker.command_runner)."""

    client: Client
    id: str
    name: str
    python: str
    paused_s: float
    stopped: Callable[[], bool]
    # set for the cleanup: what that runs is not cut by the stop that began it
    ending: bool = False
    _stdin: Hijacked | None = field(default=None, init=False)
    _started_s: float = field(default_factory=lambda: clock.utc_now().timestamp(), init=False)

    def attach(self) -> None:
        """Hold its standard input open; called before the start, so that it is open from the beginning."""
        with faults():
            stream = self.client.api.attach_socket(self.id, params={"stdin": 1, "stream": 1})
            self._stdin = Hijacked(stream)

    def start_exec(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> Exec:
        """A command whose streams and standard input are the caller's.

        Raises:
            InfrastructureError: the container or the engine does not answer.
        """
        try:
            return Exec(self.client, self.id, argv, env=env, cwd=cwd)
        except EngineError as error:
            raise self._gone(f"cannot start {argv[0]} in container {self.name}", error) from error

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Ended:
        """See ci.docker.command_runner.Shell.

        Raises:
            InfrastructureError: the container, the engine or the exec's connection is gone; it is paused.
            StoppedError: we were stopped; the command has been killed.
        """
        token = clock.new_token()
        command = self.start_exec(argv, env={**(env or {}), _EXEC_TOKEN: token}, cwd=cwd)
        try:
            kept: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
            deadline = clock.monotonic_s() + timeout_s
            watch = Watch(self)
            while not command.ended:
                for stream, data in command.read(LOOK_S):
                    kept[stream].append(data)
                    if on_output is not None:
                        on_output(data)
                if self.stopped() and not self.ending:
                    self.kill_token(token)
                    raise StoppedError(f"stopped while {argv[0]} was running")
                if clock.monotonic_s() > deadline:
                    self.kill_token(token)
                    why = f"no end within {timeout_s:g} s; it and its children were killed"
                    return Ended(
                        code=None, stdout=_joined(kept, STDOUT), stderr=_joined(kept, STDERR), why=why
                    )
                watch.look()
            code = self.code_of(command, argv[0])
            return Ended(code=code, stdout=_joined(kept, STDOUT), stderr=_joined(kept, STDERR))
        finally:
            command.close()

    def code_of(self, command: Exec, name: str) -> int:
        """The exit code of a command whose stream has ended.

        Raises:
            InfrastructureError: it has none, or one of a signal that came with the end of the container.
        """
        code, ended_by, why = self.ending_of(command)
        what = f"the end of {name} in container {self.name} is not known"
        if ended_by is not None:
            raise _ended(what, ended_by)
        if code is None:
            raise InfrastructureError(what, cause=why, then=f"docker inspect {self.name}")
        return code

    def ending_of(self, command: Exec) -> tuple[int | None, ExitCause | None, str]:
        """The exit code if there is one, what ended if it was not only the command, and why there is no code."""
        try:
            code = command.code(wait_s=_EXEC_CODE_S, monotonic_s=clock.monotonic_s, sleep_s=clock.sleep_s)
        except EngineError as error:
            return None, self.exit_cause(), error.text
        if code <= BY_SIGNAL:
            return code, None, ""
        # the engine tells of the container's end a moment after that of what ran in it
        deadline = clock.monotonic_s() + _EXIT_S
        while (ended_by := self.exit_cause()) is None and clock.monotonic_s() < deadline:
            clock.sleep_s(0.02)
        return code, ended_by or self.exit_cause(exit_code=code, since_s=command.started_s), ""

    def exit_cause(self, *, exit_code: int | None = None, since_s: float | None = None) -> ExitCause | None:
        """What ended, None when the container is running.

        With the exit code of a command that ran since a Unix time, one that was killed for lack of memory too.
        """
        since_s = self._started_s if since_s is None else since_s
        until_s = clock.utc_now().timestamp()
        return find_exit_cause(self.client, self.id, since_s=since_s, until_s=until_s, exit_code=exit_code)

    def _gone(self, what: str, error: EngineError) -> InfrastructureError:
        ended_by = self.exit_cause()
        if ended_by is None:
            return InfrastructureError(what, cause=error.text, then=f"docker inspect {self.name}")
        return _ended(what, ended_by)

    def kill_token(self, token: str) -> None:
        """Kill every process in the container whose environment holds this token, until a pass finds none."""
        argv = [self.python, f"{BIN_DIR}/inspector.py", "kill", token]
        with contextlib.suppress(EngineError):
            killer = Exec(self.client, self.id, argv, env={}, cwd="/")
            deadline = clock.monotonic_s() + KILL_S
            while not killer.ended and clock.monotonic_s() < deadline:
                killer.read(LOOK_S)
            killer.close()

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """See ci.docker.command_runner.Shell.

        Raises:
            InfrastructureError: the container is gone or its disk is full.
        """
        _put(self.client, self.id, folder, files)

    def get(self, path: str) -> bytes | None:
        """See ci.docker.command_runner.Shell.

        Raises:
            InfrastructureError: the container is gone.
        """
        try:
            with faults():
                chunks, _ = self.client.api.get_archive(self.id, path)
                data = b"".join(chunks)
        except EngineError as error:
            if error.status == 404 and self.exit_cause() is None:
                return None
            raise self._gone(f"cannot read {path} in container {self.name}", error) from error
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            return member.read() if member is not None else None

    def let_go(self) -> None:
        """Close our end of its standard input: a held container ends by that."""
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None

    def remove(self) -> str:
        """End and remove it with its anonymous volumes; what is left in words, empty when nothing is."""
        left = remove_container(self.client, self.id)
        self.let_go()
        return left


class Watch:
    """Looks now and then whether a container whose exec is silent still moves."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._paused_since: float | None = None
        self._next = 0.0

    def look(self) -> None:
        """Ask the engine, at most every `LOOK_S`.

        Raises:
            InfrastructureError: the container or the engine does not answer, or it has been paused for `paused_s`.
        """
        now = clock.monotonic_s()
        if now < self._next:
            return
        self._next = now + LOOK_S
        try:
            paused = is_paused(self._container.client, self._container.id)
        except EngineError:
            return  # the stream ends by itself, and the cause is found then
        if not paused:
            self._paused_since = None
        elif self._paused_since is None:
            self._paused_since = now
        elif now - self._paused_since > self._container.paused_s:
            name = self._container.name
            raise InfrastructureError(
                f"container {name} has been paused for {self._container.paused_s:g} s",
                cause="it was paused from outside of this run: its processes and their time limits are suspended",
                then=f"docker unpause {name}, or docker rm -f {name}",
            )


def create(
    client: Client,
    arguments: Mapping[str, Any],
    *,
    name: str,
    python: str,
    paused_s: float,
    stopped: Callable[[], bool],
) -> Container:
    """Make a container, put our programs into it, hold its standard input and start it; nothing is left when that fails.

    Raises:
        InfrastructureError: the engine refuses, with its own words.
    """
    try:
        with faults():
            made = client.api.create_container(**arguments)
    except EngineError as error:
        raise InfrastructureError(
            f"cannot create container {name}: {error.text}",
            cause="the image is missing, a path does not exist, or the engine does not support a flag",
            then="see the profile in ci/catalog/containers.toml; docker info",
        ) from error
    container = Container(
        client=client, id=made["Id"], name=name, python=python, paused_s=paused_s, stopped=stopped
    )
    try:
        container.put(BIN_DIR, programs())
        try:
            container.attach()
            with faults():
                client.api.start(container.id)
        except EngineError as error:
            raise InfrastructureError(
                f"cannot start container {name}: {error.text}",
                cause="a device, a limit or the interpreter is not what the profile says",
                then=f"the interpreter is {python}; for another, add --python PATH; see ci/catalog/containers.toml",
            ) from error
    except BaseException:
        container.remove()
        raise
    return container


def adopt(
    client: Client, identity: str, *, name: str, python: str, paused_s: float, stopped: Callable[[], bool]
) -> Container:
    """A kept container of an earlier run, with our programs of today in it.

    Raises:
        InfrastructureError: it is gone or full.
    """
    container = Container(
        client=client, id=identity, name=name, python=python, paused_s=paused_s, stopped=stopped
    )
    container.put(BIN_DIR, programs())
    return container


def programs() -> dict[str, bytes]:
    """What runs inside, by file name."""
    return {name: source.read_bytes() for name, source in _PROGRAMS.items()}


def remove_container(client: Client, identity: str) -> str:
    """Remove a container with its anonymous volumes and wait until it is gone; what went wrong, empty when it is."""
    deadline = clock.monotonic_s() + REMOVE_S
    why = ""
    while True:
        try:
            with faults():
                client.api.remove_container(identity, force=True, v=True)
        except EngineError as error:
            if error.status == 404:
                return ""
            why = error.text
            if error.gone:
                return f"the engine does not answer: {why}"
        if clock.monotonic_s() > deadline:
            return why or f"it is still there after {REMOVE_S:g} s"
        clock.sleep_s(0.02)


def _put(client: Client, identity: str, folder: str, files: Mapping[str, bytes]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        at = ""
        for part in folder.strip("/").split("/"):
            at = f"{at}/{part}".lstrip("/")
            entry = tarfile.TarInfo(at)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{at}/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    try:
        with faults():
            done = client.api.put_archive(identity, "/", buffer.getvalue())
    except EngineError as error:
        raise InfrastructureError(
            f"files cannot be put into {folder} of the container: {error.text}",
            cause="the container no longer exists, or the disk with the engine's data is full",
            then="docker info; df -h",
        ) from error
    if not done:
        raise InfrastructureError(f"the engine did not accept the files for {folder}", then="docker info")


def _ended(what: str, ended_by: ExitCause) -> InfrastructureError:
    return InfrastructureError(
        what, cause="; ".join((ended_by.cause, *ended_by.evidence)), then=ended_by.then
    )


def _joined(kept: Mapping[int, list[bytes]], stream: int) -> bytes:
    return b"".join(kept[stream])
