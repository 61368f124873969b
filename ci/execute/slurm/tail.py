"""Files of events that other machines append to, read again and again."""

from pathlib import Path

from ci.execute.slurm.files import NOT_THERE, cannot_read
from ci.record.event_json import glimpse, parse_line
from ci.record.events import Damaged, Event

__all__ = ["Tail"]


class Tail:
    """The whole lines of a file as events, each once. A line without its end is left for a later look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def events(self) -> list[Event]:
        """What has come since the last look; a line that is not an event is a `Damaged`.

        Raises:
            InfrastructureError: the file cannot be read.
        """
        return [_event_of(line, self._path.name) for line in self._lines() if line.strip()]

    def _lines(self) -> list[bytes]:
        try:
            # opened anew each time: only an open asks a server of NFS whether the file has grown
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            if error.errno in NOT_THERE:
                return []
            raise cannot_read(self._path, error) from error
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return data[:whole].split(b"\n")


def _event_of(line: bytes, name: str) -> Event:
    event, wrong = parse_line(line)
    return event or Damaged(text=f"{name}: not an event{wrong}: {glimpse(line)}")
