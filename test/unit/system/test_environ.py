"""The environment of this process, and the day that a command is to try."""

import os
from datetime import date

import pytest

from ci.errors import ExitCode, UsageError
from ci.system.environ import TODAY, read_environ, tried_today


def test_a_copy_does_not_follow_and_does_not_change_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMD_CI_X", "1")
    environ = read_environ()
    monkeypatch.setenv("AMD_CI_X", "2")
    assert environ["AMD_CI_X"] == "1"
    assert environ is not os.environ


def test_a_day_can_be_tried() -> None:
    assert tried_today({TODAY: "2026-05-29"}) == date(2026, 5, 29)
    assert tried_today({}) is tried_today({TODAY: ""}) is None


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "20260529",
        "2026-W22-5",
        "2026-13-01",
        "2026-02-30",
        "2026-05-2",
        "2026/05/29",
        "2026-05/29",
    ],
)
def test_what_is_not_a_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        tried_today({TODAY: text})
    assert caught.value.exit_code is ExitCode.USAGE
    assert text in caught.value.what
    assert f"{TODAY}=2026-" in caught.value.then
