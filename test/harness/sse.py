"""Server-sent events as OpenAI-compatible servers stream them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["DONE", "data_of"]

DONE = "[DONE]"


def data_of(lines: Iterable[bytes]) -> Iterator[str]:
    """The data of each event, in order: `data` fields of one event are joined by line feeds, other fields dropped.

    `lines` end with LF or CRLF. An event that is not followed by an empty line is incomplete and is not handed out.
    """
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
