"""The one door to the clock and to randomness."""

import secrets
import time
from datetime import UTC, date, datetime

__all__ = ["folder_stamp", "iso", "monotonic_s", "new_token", "sleep_s", "today", "utc_now", "wall_ns"]


def utc_now() -> datetime:
    """Wall-clock time in UTC."""
    return datetime.now(tz=UTC)


def today() -> date:
    """The date in UTC: rows that hold until a day end everywhere at the same moment."""
    return utc_now().date()


def wall_ns() -> int:
    """Wall-clock time in nanoseconds since 1970, as the times of files are."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds that never run backwards; only differences mean something."""
    return time.monotonic()


def sleep_s(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def iso(moment: datetime) -> str:
    """`2026-05-29T07:12:03.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def folder_stamp(moment: datetime) -> str:
    """`20260529T071203Z`, the start of a run folder's name."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def new_token() -> str:
    """A run's token: 128 random bits, so that no other process's environment holds it by chance."""
    return f"amdci-{secrets.token_hex(16)}"
