"""Times as they are written down, and tokens."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ci.system import clock

MOMENT = datetime(2026, 5, 29, 1, 12, 3, 123456, tzinfo=timezone(timedelta(hours=2)))


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert clock.iso(MOMENT) == "2026-05-28T23:12:03.123Z"


def test_the_stamp_of_a_folder_is_utc_and_sorts_by_time() -> None:
    assert clock.folder_stamp(MOMENT) == "20260528T231203Z"
    assert clock.folder_stamp(MOMENT) < clock.folder_stamp(MOMENT + timedelta(seconds=1))


def test_today_is_the_date_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime.now(UTC).date()
    assert before <= clock.today() <= datetime.now(UTC).date()
    monkeypatch.setattr(clock, "utc_now", lambda: MOMENT.astimezone(UTC))
    assert clock.today().isoformat() == "2026-05-28"


def test_waiting_takes_the_time_that_is_asked_for() -> None:
    began_s = clock.monotonic_s()
    clock.sleep_s(0.02)
    assert clock.monotonic_s() - began_s >= 0.02


def test_no_two_runs_have_one_token() -> None:
    tokens = {clock.new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(token.startswith("amdci-") and len(token) == len("amdci-") + 32 for token in tokens)
