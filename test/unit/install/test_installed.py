"""Looking at an installation that was made: a container has to be named and run, requirements have to be met."""

from collections.abc import Sequence
from typing import Any

import pytest

from ci.docker.client import EngineError
from ci.docker.command_runner import Ended
from ci.errors import GuardError, InfrastructureError, UsageError
from ci.install import installed
from ci.install.installed import _unmet, attach


class Answers:
    """A shell whose every command ends like this."""

    def __init__(self, code: int | None, stdout: str = "", stderr: str = "", why: str = "") -> None:
        self._ended = Ended(code=code, stdout=stdout.encode(), stderr=stderr.encode(), why=why)
        self.argvs: list[Sequence[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> Ended:
        self.argvs.append(argv)
        return self._ended

    def put(self, *_: Any) -> None: ...

    def get(self, _path: str) -> None: ...


class Engine:
    """An engine that knows one container, or none."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self._found = found
        self.api = self
        self.asked: list[str] = []

    def inspect_container(self, name: str) -> dict[str, Any]:
        self.asked.append(name)
        if self._found is None:
            raise EngineError("No such container", status=404)
        return self._found


def attached(monkeypatch: pytest.MonkeyPatch, engine: Engine, name: str = "mine") -> tuple[Any, str]:
    monkeypatch.setattr(installed, "connect", lambda _host: engine)
    monkeypatch.setattr(installed, "adopt", lambda _client, identity, **about: (identity, about["name"]))
    return attach(name, {}, python="python3", paused_s=1, stopped=lambda: False)


def test_a_container_that_runs_is_taken_with_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine({"Id": "abc", "Name": "/mine", "Image": "sha256:x", "State": {"Running": True}})
    assert attached(monkeypatch, engine) == (("abc", "mine"), "sha256:x")
    assert engine.asked == ["mine"]


def test_a_container_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="a container is required"):
        attach("", {}, python="python3", paused_s=1, stopped=lambda: False)


def test_one_that_is_not_there_or_has_ended_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown container mine: No such container"):
        attached(monkeypatch, Engine(None))
    ended = {"Id": "abc", "Name": "/mine", "Image": "sha256:x", "State": {"Running": False}}
    with pytest.raises(UsageError, match="mine is not running"):
        attached(monkeypatch, Engine(ended))


class TestRequirements:
    PROTECTED = frozenset({"torch"})

    def unmet(self, shell: Answers) -> list[str]:
        return _unmet(shell, "python3", set(self.PROTECTED))

    def test_all_are_met(self) -> None:
        shell = Answers(0, "No broken requirements found.\n")
        assert self.unmet(shell) == []
        assert shell.argvs == [["python3", "-m", "pip", "check"]]

    def test_one_of_others_is_a_line(self) -> None:
        line = "requests 2.0 requires urllib3, which is not installed."
        assert self.unmet(Answers(1, f"{line}\n\n")) == [f"not met: {line}"]

    @pytest.mark.parametrize(
        "line",
        [
            "Torch 2.9.1 requires filelock, which is not installed.",
            "x 1 has requirement a, torch, but you have b.",
        ],
    )
    def test_one_of_or_on_a_protected_distribution_is_a_violation(self, line: str) -> None:
        with pytest.raises(GuardError, match="1 requirements") as caught:
            self.unmet(Answers(1, f"{line}\nother 1 requires y.\n"))
        assert [problem.what for problem in caught.value.problems] == [line]

    @pytest.mark.parametrize(
        ("stderr", "says"), [("a\nNo module named pip\n", "No module named pip"), ("", "pip ended with 1")]
    )
    def test_without_pip_nothing_was_checked_and_that_is_reported(self, stderr: str, says: str) -> None:
        assert self.unmet(Answers(1, "", stderr)) == [f"requirements were not checked: {says}"]

    def test_a_check_that_does_not_end_is_the_machines(self) -> None:
        with pytest.raises(InfrastructureError, match="did not end: the container is gone"):
            self.unmet(Answers(None, why="the container is gone"))
