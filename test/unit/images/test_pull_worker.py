"""The process that pulls: what it reports of an engine's stream, of logins and of faults."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from ci.docker.client import EngineError
from ci.errors import InfrastructureError
from ci.images import pull_worker

LAYER = {"status": "Downloading", "id": "a"}
LAST = {"status": "Status: Downloaded newer image"}
AUTH = {"username": "u", "password": "secret-password"}


class Engine:
    """An engine's answers: events of the pull, of which one may be an exception, and the login's fault."""

    def __init__(
        self, events: Sequence[Mapping[str, str] | Exception], login: Exception | None = None
    ) -> None:
        self.events = events
        self.login_fault = login
        self.pulls: list[tuple[str, str, Any]] = []
        self.api = SimpleNamespace(pull=self._pull, login=self._login)

    def _login(self, _user: str, _password: str, *, registry: str, reauth: bool) -> None:
        assert (registry, reauth) == ("lan:5000", True)
        if self.login_fault is not None:
            raise self.login_fault

    def _pull(self, name: str, *, tag: str, auth_config: Any, **_how: Any) -> Iterator[Mapping[str, str]]:
        self.pulls.append((name, tag, auth_config))
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


Lines = list[dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Run":
    return Run(monkeypatch, capsys)


class Run:
    """One pull by the worker's own `main`, without its watch over standard input, which ends the process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, engine: Engine | Exception, auth: Mapping[str, str] | None = None) -> Lines:
        def connect(host: str, **_how: Any) -> Engine:
            assert host == "unix:///e.sock"
            if isinstance(engine, Exception):
                raise engine
            return engine

        spec = {
            "engine_host": "unix:///e.sock",
            "name": "org/x",
            "tag": "v1",
            "auth": auth,
            "login_registry": "lan:5000",
        }
        self._monkeypatch.setattr(pull_worker, "connect", connect)
        self._monkeypatch.setattr(pull_worker, "_end_with_stdin", lambda: None)
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(spec) + "\n"))
        pull_worker.main()
        out = self._capsys.readouterr().out
        assert AUTH["password"] not in out
        return [json.loads(line) for line in out.splitlines()]


def test_the_engines_events_are_passed_on_and_the_end_is_the_last_line(run: Run) -> None:
    engine = Engine([LAYER, LAST])
    assert run(engine) == [{"event": LAYER}, {"event": LAST}, {"end": "ok"}]
    assert engine.pulls == [("org/x", "v1", None)]


def test_an_error_in_the_stream_is_the_end_with_its_text(run: Run) -> None:
    lines = run(Engine([LAYER, {"error": "no space left"}, LAST]))
    assert lines[1:] == [{"end": "error", "text": "no space left", "status": 0}]


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([LAYER], "the engine's stream ended in the middle of the pull"),
        ([], "the engine's stream ended in the middle of the pull"),
        ([LAYER, urllib3.exceptions.ProtocolError("cut")], "the engine's stream broke: cut"),
    ],
)
def test_a_stream_without_its_last_word_is_an_engine_that_is_gone(
    run: Run, events: Sequence[Any], text: str
) -> None:
    assert run(Engine(events))[-1] == {"end": "error", "text": text, "status": None}


def test_a_login_is_used_and_one_that_is_refused_makes_the_pull_anonymous(run: Run) -> None:
    engine = Engine([LAST])
    assert {"end": "ok"} in run(engine, AUTH)
    assert engine.pulls[0][2] == AUTH
    refusing = Engine([LAST], login=EngineError("401: bad password", status=401))
    assert run(refusing, AUTH) == [{"login": "refused: 401: bad password"}, {"event": LAST}, {"end": "ok"}]
    assert refusing.pulls[0][2] == {}, "an empty header, else the SDK looks for a login of its own"


def test_an_engine_that_is_gone_at_the_login_is_not_a_refusal(run: Run) -> None:
    engine = Engine([LAST], login=ConnectionResetError("reset"))
    assert run(engine, AUTH) == [{"end": "error", "text": "reset", "status": None}]
    assert engine.pulls == []


def test_an_engine_that_does_not_answer_is_one_line(run: Run) -> None:
    lines = run(InfrastructureError("the Docker engine does not answer", then="docker info"))
    assert lines == [{"end": "error", "text": "the Docker engine does not answer", "status": None}]


@pytest.mark.processes
def test_it_ends_when_its_standard_input_is_closed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "e.sock"))
        engine.listen()  # and never answers
        spec = {"engine_host": f"unix://{tmp_path}/e.sock", "name": "x", "tag": "y", "login_registry": ""}
        argv = [sys.executable, "-m", "ci.images.pull_worker"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(spec).encode() + b"\n")
            worker.stdin.close()
            assert worker.wait() == 1
