"""Where the agents of roles meet: the first failure, also where a file system has no links or is full."""

import os
from pathlib import Path

import pytest

from ci.agent.roles.meeting import ENDED, Failure, Meeting, State

pytestmark = pytest.mark.in_container


def failure(role: str) -> Failure:
    return Failure(role=role, verdict="infra", evidence=("it ended",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Meeting(tmp_path / "meeting").open({"suite": "a"})
    return tmp_path / "meeting"


@pytest.mark.parametrize("has_links", [True, False])
def test_the_first_failure_stays(folder: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    assert Meeting(folder).fail(failure("prefill"))
    assert not Meeting(folder).fail(failure("decode"))
    assert Meeting(folder).failure() == failure("prefill")


def test_what_cannot_be_written_is_known_to_who_said_it(tmp_path: Path) -> None:
    meeting, ended = Meeting(tmp_path / "gone"), State(role="prefill", state=ENDED, host="a")
    assert not meeting.fail(failure("prefill"))
    assert meeting.failure() == failure("prefill")
    with pytest.raises(OSError, match="gone"):
        meeting.say(ended)
    assert meeting.state("prefill") == ended


def test_what_the_roles_of_another_node_left_is_known_when_they_have_ended(folder: Path) -> None:
    assert Meeting(folder).left(2) is None
    Meeting(folder).say_left(2, ["/dev/shm/psm_1"])
    assert Meeting(folder).left(2) == ["/dev/shm/psm_1"]
