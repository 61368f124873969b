"""Why a container ended."""

from typing import Any

import pytest

from ci.docker.client import EngineError
from ci.docker.container_init import TIME_IS_OVER
from ci.docker.exit_cause import find_exit_cause


class Engine:
    """What an engine would say of a container: a state, None when it is gone; and the events that it remembers."""

    def __init__(self, state: dict[str, Any] | None, events: list[dict[str, Any]]) -> None:
        self.api = self
        self._state = state
        self._events = events

    def inspect_container(self, _name: str) -> dict[str, Any]:
        if self._state is None:
            raise EngineError("No such container", status=404)
        return {"State": self._state}

    def events(self, **_keywords: Any) -> list[dict[str, Any]]:
        return self._events


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


class TestWhatDied:
    @pytest.mark.parametrize(
        ("state", "events", "code", "kind"),
        [
            ({"Running": True}, [], 1, None),
            ({"Running": True}, [], 137, None),
            ({"Running": True}, [event("oom")], 137, "oom"),
            ({"Running": True, "Paused": True}, [], None, "paused"),
            ({"Running": False, "OOMKilled": True, "ExitCode": 137}, [], None, "oom"),
            ({"Running": False, "ExitCode": 137}, [event("kill", signal="9")], None, "container"),
            ({"Running": False, "ExitCode": TIME_IS_OVER}, [], None, "ttl"),
            (None, [event("die", exitCode="143")], None, "container"),
            (None, [event("oom"), event("die", exitCode="137")], None, "oom"),
            (None, [event("die", exitCode=str(TIME_IS_OVER))], None, "ttl"),
            (
                None,
                [event("die", exitCode="143"), event("die", exitCode=str(TIME_IS_OVER)), event("destroy")],
                None,
                "ttl",
            ),
            (None, [], None, "engine"),
        ],
    )
    def test_by_state_and_events(
        self, state: dict[str, Any] | None, events: list[dict[str, Any]], code: int | None, kind: str | None
    ) -> None:
        ended_by = find_exit_cause(Engine(state, events), "c", since_s=0, until_s=1, exit_code=code)
        assert (ended_by.kind if ended_by is not None else None) == kind
        if ended_by is not None:
            assert ended_by.cause
            assert ended_by.then

    def test_an_ended_engine_is_distinguished_from_an_ended_container(self) -> None:
        class Gone(Engine):
            def inspect_container(self, _name: str) -> dict[str, Any]:
                raise EngineError("connection refused", status=None)

        ended_by = find_exit_cause(Gone(None, []), "c", since_s=0, until_s=1, exit_code=None)
        assert ended_by is not None
        assert ended_by.kind == "engine"
        assert "connection refused" in ended_by.cause
