"""One watched pull: what its process says is taken, and it is ended when it stalls, takes too long or is not wanted."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ci.errors import ExitCode, InfrastructureError
from ci.images import pull_process
from ci.images.credentials import Credentials
from ci.images.pull_process import Outcome, Transfer
from ci.record.events import Event, PhaseProgress
from ci.system import process

pytestmark = pytest.mark.processes

READ = "import json, sys, time, os\nspec = json.loads(sys.stdin.readline())\n"
SAY = "def say(**line): print(json.dumps(line), flush=True)\n"
OK = "say(end='ok')\n"
CREDENTIALS = Credentials(username="u", token="token-of-16-chars", source="row x")
LAYER = "dict(id='a', status='Downloading', progressDetail=dict(current={}, total=100))"


@dataclass
class Pull:
    """Runs a program in the worker's place; time is real unless a test moves it."""

    monkeypatch: pytest.MonkeyPatch
    events: list[Event] = field(default_factory=list)
    started: list[Any] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"], "SECRET": "x"})
    clock: Callable[[], float] = field(default_factory=lambda: lambda: 0.0)
    stopped: Callable[[], bool] = field(default_factory=lambda: lambda: False)

    def __call__(
        self,
        program: str,
        *,
        stall_s: float = 50,
        most_s: float = 100,
        registry: str = "lan:5000",
        **how: Any,
    ) -> Outcome:
        def start(argv: Any, **keywords: Any) -> process.Process:
            assert list(argv[1:]) == ["-m", "ci.images.pull_worker"]
            made = process.start([sys.executable, "-c", READ + SAY + program], **keywords)
            self.started.append((made, keywords["env"]))
            return made

        self.monkeypatch.setattr(pull_process, "start", start)
        transfer = Transfer(
            engine_host="unix:///e.sock",
            environ=self.environ,
            stall_s=stall_s,
            emit=self.events.append,
            phase="pull",
            stopped=self.stopped,
            monotonic_s=self.clock,
        )
        return transfer.pull(
            "org/x",
            "v1",
            registry=registry,
            expected_bytes=100,
            most_s=most_s,
            where="here",
            **{"credentials": None} | how,
        )

    @property
    def ended(self) -> bool:
        return all(one.returncode is not None for one, _ in self.started)


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch) -> Pull:
    return Pull(monkeypatch)


def test_the_request_comes_by_standard_input_and_the_environment_is_short(pull: Pull, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    assert pull(
        f"open({str(file)!r}, 'w').write(json.dumps(spec))\n" + OK, credentials=CREDENTIALS
    ) == Outcome(problem="")
    assert json.loads(file.read_text()) == {
        "engine_host": "unix:///e.sock",
        "name": "org/x",
        "tag": "v1",
        "login_registry": "lan:5000",
        "auth": {"username": "u", "password": CREDENTIALS.token},
    }
    ((_, env),) = pull.started
    assert set(env) == {"PATH", "PYTHONDONTWRITEBYTECODE"}
    assert pull.ended


def test_the_hubs_login_has_its_own_address(pull: Pull) -> None:
    program = "say(end='error', text=spec['login_registry'], status=1)\n"
    assert pull(program, registry="docker.io").problem == "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("say(end='error', text='no space', status=500)", Outcome(problem="no space")),
        ("say(end='error', text='reset', status=None)", Outcome(problem="reset", gone=True)),
        ("say(login='refused: 401'); say(end='ok')", Outcome(problem="", login="refused: 401")),
        ("say(login='bad token-of-16-chars'); say(end='error', text='token-of-16-chars?', status=1)",
         Outcome(problem="***?", login="bad ***")),
        ("raise SystemExit('engine SDK is missing')",
         Outcome(problem="the pulling process ended with 1: engine SDK is missing")),
        ("os._exit(3)", Outcome(problem="the pulling process ended with 3")),
    ],
)  # fmt: skip
def test_how_it_ended_is_what_it_said_without_secrets(pull: Pull, program: str, outcome: Outcome) -> None:
    assert pull(program + "\n", credentials=CREDENTIALS) == outcome
    assert pull.ended


def ticking(step_s: float) -> Callable[[], float]:
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += step_s
        return now

    return tick


def test_one_that_does_not_move_is_killed(pull: Pull) -> None:
    pull.clock = ticking(20)
    outcome = pull("say(event=dict(id='a', status='Retrying in 5 seconds'))\ntime.sleep(600)\n")
    assert outcome.stalled
    assert outcome.problem.startswith("no progress for 50 s (")
    assert pull.ended


def test_one_that_moves_but_takes_too_long_is_killed(pull: Pull) -> None:
    pull.clock = ticking(1)
    program = f"for n in range(10**9):\n    say(event={LAYER.format('n + 1')})\n    time.sleep(0.01)\n"
    outcome = pull(program, most_s=60)
    assert outcome.stalled
    assert outcome.problem.startswith("not done after 60 s (")
    assert pull.ended
    assert any(isinstance(event, PhaseProgress) and event.phase == "pull" for event in pull.events)


def test_a_stop_ends_it(pull: Pull) -> None:
    pull.stopped = lambda: bool(pull.started)
    with pytest.raises(InfrastructureError) as caught:
        pull("time.sleep(600)\n")
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert pull.ended


def test_after_a_stop_none_is_started(pull: Pull) -> None:
    pull.stopped = lambda: True
    with pytest.raises(InfrastructureError):
        pull(OK)
    assert pull.started == []


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch, pull: Pull) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    pull(OK)
    monkeypatch.setattr(pull_process, "start", fail)
    transfer = Transfer(
        engine_host="x",
        environ={},
        stall_s=1,
        emit=lambda _: None,
        phase="p",
        stopped=lambda: False,
        monotonic_s=lambda: 0.0,
    )
    with pytest.raises(InfrastructureError, match="cannot start the pulling process: Permission denied"):
        transfer.pull("a", "b", registry="r", credentials=None, expected_bytes=0, most_s=1, where="w")
