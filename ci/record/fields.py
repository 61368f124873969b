"""Reading the values of events, which may be of any type: nothing here fails on an odd one."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ci.record.event_log import Event

__all__ = ["integer", "moment_s", "number", "objects", "text", "texts"]


def text(event: Event, key: str) -> str:
    """The string under `key`, empty when it is missing or null, spelled out when it is of another type."""
    value = event.get(key)
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def number(event: Event, key: str, default: float = 0.0) -> float:
    """The finite number under `key`, else `default`."""
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    try:
        found = float(value)
    except OverflowError:
        return default
    return found if math.isfinite(found) else default


def texts(event: Event, key: str) -> tuple[str, ...]:
    """The strings of the list under `key`, empty when it is missing."""
    value = event.get(key)
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def integer(event: Event, key: str) -> int | None:
    """The whole number under `key`, None when there is none."""
    value = event.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(event: Event, key: str) -> list[Mapping[str, Any]]:
    """The objects of the list under `key`, empty when it is missing."""
    value = event.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def moment_s(event: Event) -> float | None:
    """The event's time in seconds, None when it has none."""
    try:
        return datetime.fromisoformat(text(event, "time")).timestamp()
    except (ValueError, OverflowError):
        return None
