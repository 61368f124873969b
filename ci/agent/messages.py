"""What a test process reports to the agent: messages on a socket, each a JSON object."""

import json
import os
import socket
from typing import Any

from .spec import is_number

__all__ = ["MESSAGE_BYTES", "Channel", "parse_message"]

MESSAGE_BYTES = 65536
OUTCOMES = ("passed", "failed", "skipped", "xfailed", "xpassed")
# The type of a key, and the value in place of one that is absent or of another type.
_TEXT, _MAYBE_TEXT = (str, ""), (str, None)
_NUMBER, _MAYBE_NUMBER = (float, 0.0), (float, None)
_WHOLE, _MAYBE_WHOLE = (int, 0), (int, None)
_FLAG, _MAYBE_BOUND, _LIST = (bool, False), (dict, None), (list, ())
_BOUND = {"ok": _FLAG, "op": _TEXT, "limit": _NUMBER, "source": _TEXT, "report_only": _FLAG}
# `failures` of a case stay in the agent: an identity and a chain of errors each, see `proof`.
# Keys by kind of message, first the one that has to be there. `collected` and `session` are the agent's own, of its child
# mode: the cases that pytest is going to run, and how it finished.
MESSAGES: dict[str, dict[str, tuple[type, object]]] = {
    "case": {
        "case": _TEXT,
        "outcome": _TEXT,
        "duration_s": _NUMBER,
        "message": _TEXT,
        "details": _TEXT,
        "file": _MAYBE_TEXT,
        "line": _MAYBE_WHOLE,
        "verdict": _MAYBE_TEXT,
        "assertion": _FLAG,
        "failures": _LIST,
        "lacks": _TEXT,
    },
    "metric": {"metric": _TEXT, "value": _NUMBER, "unit": _TEXT, "bound": _MAYBE_BOUND},
    "note": {"text": _TEXT, "server_s": _MAYBE_NUMBER},
    "progress": {"text": _TEXT, "done": _MAYBE_NUMBER, "total": _MAYBE_NUMBER},
    "collected": {"names": _LIST},
    "session": {"exit_code": _WHOLE, "problems": _LIST},
}


def parse_message(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and keys of one message; an unknown one becomes a `note` with the raw text."""
    raw = data.decode("utf-8", "replace")
    try:
        message = json.loads(raw, parse_constant=_refuse)
        kinds = MESSAGES[message["type"]]
        required = next(iter(kinds))
        if not _fits(message[required], kinds[required][0]) or not _fits(message.get("value", 0.0), float):
            return "note", {"text": raw}
        keys = _keys(message, kinds)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "note", {"text": raw}
    if keys.get("outcome", "passed") not in OUTCOMES:
        return "note", {"text": raw}
    if keys.get("bound") is not None:
        keys["bound"] = _keys(keys["bound"], _BOUND)
    return message["type"], keys


def _keys(message: dict[str, Any], kinds: dict[str, tuple[type, object]]) -> dict[str, Any]:
    return {
        key: message[key] if key in message and _fits(message[key], kind) else default
        for key, (kind, default) in kinds.items()
    }


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _fits(value: object, kind: type) -> bool:
    return is_number(value) if kind is float else type(value) is kind


class Channel:
    """The child's end of the events socket, on a descriptor of its own that nothing else closes."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._pid = os.getpid()

    def send(self, **message: object) -> None:
        """Send one message, its longest text halved until it fits; a fork of the test process sends nothing."""
        if os.getpid() != self._pid:
            return
        while len(data := json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")) > MESSAGE_BYTES:
            longest = max(message, key=lambda key: len(str(message[key])))
            text = str(message[longest])
            message[longest] = text[len(text) // 2 + 1 :]
        self._socket.send(data)

    def close(self) -> None:
        """Nothing more is sent."""
        self._socket.close()
