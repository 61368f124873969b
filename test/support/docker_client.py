"""An engine's client without an engine: containers whose state is set, and execs that print what a test gives them."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

__all__ = ["FakeClient", "FakeExec", "docker_error", "frame"]


def frame(stream: int, data: bytes) -> bytes:
    """A frame of the engine's stream: output is 1, errors are 2."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def docker_error(text: str, status: int) -> Exception:
    """What the SDK raises when the engine refuses."""
    import docker.errors  # noqa: PLC0415  # heavy

    response = SimpleNamespace(status_code=status, reason=text, text=text, url="")
    return docker.errors.APIError(text, response=response, explanation=text)  # type: ignore[arg-type]


@dataclass(slots=True, kw_only=True)
class FakeExec:
    """What an exec sends, raw; its code, None while it has none. `hold` keeps its stream open after that."""

    sends: bytes = b""
    early: bytes = b""
    code: int | None = 0
    hold: bool = False


@dataclass(slots=True)
class FakeClient:
    """`api` has what this project calls. Execs are taken in turn, after the last one each is empty with code 0."""

    execs: list[FakeExec] = field(default_factory=list)
    state: dict[str, Any] = field(
        default_factory=lambda: {"Running": True, "Paused": False, "Status": "running"}
    )
    started: list[dict[str, Any]] = field(default_factory=list)
    archives: dict[str, bytes] = field(default_factory=dict)
    put: list[bytes] = field(default_factory=list)
    removals: list[Exception | None] = field(default_factory=list)
    removed: int = 0
    fail: dict[str, Exception] = field(default_factory=dict)
    _ends: list[socket.socket] = field(default_factory=list)

    @property
    def api(self) -> "FakeClient":
        return self

    def _may_fail(self, call: str) -> None:
        if call in self.fail:
            raise self.fail[call]

    def exec_create(self, container: str, argv: Sequence[str], **how: Any) -> Mapping[str, str]:
        self._may_fail("exec_create")
        self.started.append({"container": container, "argv": list(argv), **how})
        return {"Id": str(len(self.started) - 1)}

    def exec_start(self, identity: str, **_how: Any) -> Any:
        one = self._exec(identity)
        ours, theirs = socket.socketpair()
        if one.sends:
            theirs.sendall(one.sends)
        if one.hold:
            self._ends.append(theirs)
        else:
            theirs.close()
        return self._stream(ours, one.early)

    def attach_socket(self, _container: str, **_how: Any) -> Any:
        self._may_fail("attach_socket")
        ours, theirs = socket.socketpair()
        self._ends.append(theirs)
        return self._stream(ours, b"")

    def exec_inspect(self, identity: str) -> Mapping[str, Any]:
        self._may_fail("exec_inspect")
        code = self._exec(identity).code
        return {"ExitCode": code, "Running": code is None}

    def inspect_container(self, _container: str) -> Mapping[str, Any]:
        self._may_fail("inspect_container")
        return {"State": self.state}

    def create_container(self, **_arguments: Any) -> Mapping[str, str]:
        self._may_fail("create_container")
        return {"Id": "c" * 64}

    def start(self, _container: str) -> None:
        self._may_fail("start")

    def put_archive(self, _container: str, _path: str, data: bytes) -> bool:
        self._may_fail("put_archive")
        self.put.append(data)
        return True

    def get_archive(self, _container: str, path: str) -> tuple[list[bytes], Mapping[str, Any]]:
        self._may_fail("get_archive")
        if path not in self.archives:
            raise docker_error(f"no such file {path}", 404)
        data = self.archives[path]
        return [data[:10], data[10:]], {}

    def remove_container(self, _container: str, **_how: Any) -> None:
        self.removed += 1
        fault = self.removals.pop(0) if self.removals else docker_error("no such container", 404)
        if fault is not None:
            raise fault

    def events(self, **_how: Any) -> list[Mapping[str, Any]]:
        return []

    def close(self) -> None:
        """Close the far ends of what is held open."""
        for end in self._ends:
            end.close()

    def far_end(self) -> socket.socket:
        """The far end of the last stream that is held open."""
        return self._ends[-1]

    def _exec(self, identity: str) -> FakeExec:
        number = int(identity)
        return self.execs[number] if number < len(self.execs) else FakeExec()

    def _stream(self, ours: socket.socket, early: bytes) -> Any:
        """The SDK's wrapper, as far as this project reads it."""
        read = SimpleNamespace(read1=lambda: early)
        response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=read)), close=lambda: None)
        return SimpleNamespace(_sock=ours, _response=response, close=lambda: None)
