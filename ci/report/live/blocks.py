"""One block of lines for each test, where several run at a time."""

from ci.record import events as ev
from ci.record.state import Key
from ci.report.live.start import Line

__all__ = ["Blocks"]


class Blocks:
    """Keeps what is said about a running test until it ends; its start and its progress are single lines, shown at once."""

    def __init__(self) -> None:
        self._kept: dict[Key, list[Line]] = {}

    def take(self, event: ev.Event, lines: list[Line]) -> list[Line]:
        """What to show now; `lines` are the event's."""
        if not isinstance(event, ev.AttemptEvent):
            return lines
        key = (event.suite, event.test)
        match event:
            case ev.TestStarted() if event.slot or event.worker:
                # what was said about it on a worker that is lost comes first
                said = self._kept.pop(key, [])
                self._kept[key] = []
                return [*said, *lines]
            case ev.TestEnded():
                return [*self._kept.pop(key, []), *lines]
            case ev.Case() | ev.Metric() | ev.Note() if key in self._kept:
                self._kept[key] += lines
                return []
            case _:
                pass
        return lines

    def rest(self) -> list[Line]:
        """What was said about tests that have no end."""
        found = [line for lines in self._kept.values() for line in lines]
        self._kept.clear()
        return found
