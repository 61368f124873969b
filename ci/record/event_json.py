"""Events as JSON values and back, and lines of them; what only another version knows is kept."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ci.catalog.verdicts import Verdict
from ci.record import events as ev
from ci.system.codec import DecodeError, Wrong, decode, encode

__all__ = ["EVENTS", "event_from", "glimpse", "json_of", "parse_line"]

_GLIMPSE_BYTES = 120

# by type
EVENTS: Mapping[str, type[ev.Event]] = {
    kind.type: kind
    for kind in vars(ev).values()
    if isinstance(kind, type) and issubclass(kind, ev.Event) and kind.type
}
_OWN = {kind: frozenset(row.name for row in fields(kind)) - {"more"} for kind in (*EVENTS.values(), ev.Event)}
# What says nothing where it is not set: most events are about no test, only the agent numbers its own, and few notes are
# about a server.
_LEFT_OUT = {
    row.name: row.default
    for row in fields(ev.AttemptEvent)
    if row.default is not MISSING and row.name != "by"
} | {"server_s": None, "settles": False}


def event_from(data: Any) -> ev.Event:
    """The event of these JSON values. What this version does not know is kept; its name of a verdict becomes `unknown`.

    Raises:
        DecodeError: it is not an event, or a field of it has another type.
    """
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise DecodeError([Wrong(path=(), what="has no type")])
    name, rest = data["type"], {key: value for key, value in data.items() if key != "type"}
    kind = EVENTS.get(name)
    own = _OWN[kind or ev.Event]
    known = {key: value for key, value in rest.items() if key in own}
    more = {key: value for key, value in rest.items() if key not in own}
    if kind is None:
        return decode(ev.Unknown, {**known, "name": name, "more": more})
    if kind is ev.RunStarted:
        known.setdefault("schema", 1)
    if isinstance(known.get("verdict"), str):
        known["verdict"] = Verdict.of_name(known["verdict"])
    return decode(kind, {**known, "more": more})


def parse_line(line: bytes) -> tuple[ev.Event | None, str]:
    """The event of a line, else what is wrong with it, in parentheses where more can be said than that it is not one."""
    try:
        return event_from(json.loads(line)), ""
    except DecodeError as error:
        return None, f" ({error})"
    except (ValueError, RecursionError):
        return None, ""


def glimpse(line: bytes) -> str:
    """The beginning of a line that is not an event, in printable ASCII."""
    shown = ascii(line[:_GLIMPSE_BYTES].decode(errors="replace"))
    return f"{shown} ..." if len(line) > _GLIMPSE_BYTES else shown


def json_of(event: ev.Event) -> dict[str, Any]:
    """The event as JSON values; a number that JSON does not know is null."""
    values = encode(event, finite=True)
    more = values.pop("more")
    name = values.pop("name") if isinstance(event, ev.Unknown) else event.type
    kept = {key: value for key, value in values.items() if key not in _LEFT_OUT or value != _LEFT_OUT[key]}
    return {"type": name, **kept, **more}
