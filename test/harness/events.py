"""What a test says while it runs, over the agent's socket: notes, progress and metrics.

`AMD_CI_EVENTS_FD` names an inherited AF_UNIX/SOCK_SEQPACKET socket: one message is one JSON object of at most 64 KiB.
Without it (a test that nobody records) the same is printed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from harness.spec import events_fd

__all__ = ["MESSAGE_BYTES_MAX", "metric", "note", "progress"]

MESSAGE_BYTES_MAX = 64 * 1024  # docs/agent.md
_CUT = " ... (cut to fit one message)"

_lock = threading.Lock()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _send(message: dict[str, Any], line: str) -> None:
    data = json.dumps(message, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    if len(data) > MESSAGE_BYTES_MAX and isinstance(message.get("text"), str):
        # JSON may need six bytes for one character, so a quarter of the room always fits after at most two cuts
        text = message["text"]
        while len(data) > MESSAGE_BYTES_MAX:
            text = text[: len(text) * MESSAGE_BYTES_MAX // (len(data) + len(_CUT) * 6) - 1]
            data = json.dumps({**message, "text": text + _CUT}, ensure_ascii=False).encode("utf-8", "replace")
    fd = events_fd()
    with _lock:
        if fd is None:
            _say(line)
            return
        try:
            os.write(fd, data)  # one write to such a socket is one message
        except OSError as error:
            _say(f"{line}  (not recorded: the agent's socket says {error.strerror or error})")


def note(text: str, *, server_s: float | None = None) -> None:
    """Say something worth keeping in the record; `server_s` is how long the start of a server took that it is about."""
    _send({"type": "note", "text": text, "server_s": server_s}, f"[note] {text}")


def progress(text: str, done: float, total: float) -> None:
    """Say how far something is; `done` and `total` are in the same unit."""
    _send(
        {"type": "progress", "text": text, "done": done, "total": total},
        f"[progress] {text}: {done:g} of {total:g}",
    )


def metric(name: str, value: float, unit: str, bound: dict[str, Any] | None) -> None:
    """Record a measured value and how its row judged it; tests call `harness.bounds.check` instead."""
    judged = ""
    if bound is not None and bound["report_only"]:
        judged = " (report only)"
    elif bound is not None:
        judged = f" (bound {bound['op']} {bound['limit']:g}: {'ok' if bound['ok'] else 'BROKEN'})"
    message = {"type": "metric", "metric": name, "value": value, "unit": unit, "bound": bound}
    _send(message, f"[metric] {name} = {value:g} {unit}{judged}")
