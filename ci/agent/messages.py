"""What a test process says to the agent: messages on a socket, each a JSON object."""

import json
import os
import socket
from typing import Any

from .spec import is_number

__all__ = ["MESSAGE_BYTES", "Channel", "parse_message"]

MESSAGE_BYTES = 65536
OUTCOMES = ("passed", "failed", "skipped", "xfailed", "xpassed")
# Keys by kind of message, with the value that stands for one that is absent or of another type; None takes anything.
# `session` is our own child mode saying that pytest came to its end.
MESSAGES: dict[str, dict[str, object]] = {
    "case": {
        "case": "",
        "outcome": "",
        "duration_s": 0.0,
        "message": "",
        "details": "",
        "file": None,
        "line": None,
        "verdict": None,
        "assertion": False,
    },
    "metric": {"metric": "", "value": 0.0, "unit": "", "bound": None},
    "note": {"text": ""},
    "progress": {"text": "", "done": None, "total": None},
    "session": {"exit_code": 0},
}


def parse_message(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and keys of one message; what the agent does not know becomes a `note` that holds the raw text."""
    raw = data.decode("utf-8", "replace")
    try:
        message = json.loads(raw, parse_constant=_refuse)
        defaults = MESSAGES[message["type"]]
        keys = {key: message.get(key, default) for key, default in defaults.items()}
        required = next(iter(defaults))
        if not _alike(message[required], defaults[required]) or not _alike(keys.get("value", 0.0), 0.0):
            return "note", {"text": raw}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "note", {"text": raw}
    if keys.get("outcome", "passed") not in OUTCOMES:
        return "note", {"text": raw}
    return message["type"], {
        key: value if _alike(value, defaults[key]) else defaults[key] for key, value in keys.items()
    }


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _alike(value: object, default: object) -> bool:
    return default is None or (
        is_number(value) if isinstance(default, float) else type(value) is type(default)
    )


class Channel:
    """The child's end of the events socket, on a descriptor of its own that nothing else closes."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._pid = os.getpid()

    def send(self, **message: object) -> None:
        """Send one message, its longest text halved until it fits; a fork of the test process says nothing."""
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
