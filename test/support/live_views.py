"""A clock that a test moves, a terminal that is a string, and events shown by a view."""

import io
from collections.abc import Iterable

from ci.record.events import Event
from ci.report.live.views import View

__all__ = ["Clock", "Terminal", "play"]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(view: View, events: Iterable[Event]) -> None:
    for event in events:
        view.show(event)
    view.close()
