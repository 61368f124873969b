"""What the agent reports: events on its standard output, its own diagnostics on standard error."""

import json
import os
import sys
import threading
import time
from datetime import datetime, timezone

from .stop import Stop

__all__ = ["Emitter", "complain"]


class Emitter:
    """Events as JSON Lines on one descriptor: one write each, numbered without gaps."""

    def __init__(self, descriptor: int, stop: Stop) -> None:
        self.broken = False
        self._descriptor = descriptor
        self._stop = stop
        self._lock = threading.Lock()
        self._number = 0
        self._started = time.monotonic()

    def emit(self, kind: str, **keys: object) -> None:
        """Send one event; when the reader has gone, end everything."""
        with self._lock:
            self._number += 1
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            elapsed_s = round(time.monotonic() - self._started, 3)
            event = {"type": kind, "seq": self._number, "time": now, "elapsed_s": elapsed_s, **keys}
            data = json.dumps(event).encode() + b"\n"
            try:
                while data and not self.broken:  # a signal can cut a write to a pipe short
                    data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self.broken = True
                self._stop.request(f"cannot write to standard output: {error}")


def complain(text: str) -> None:
    """One line of the agent's own diagnostics."""
    try:
        sys.stderr.write(f"agent: {text}\n")
        sys.stderr.flush()
    except OSError:
        return  # the reader has gone
