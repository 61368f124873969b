"""Reads what `traffic` recorded: the answer's status, its body or stream, and when each token came."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from harness import sse
from harness.bench.traffic import Recording
from harness.errors import RequestError

__all__ = ["Answered", "read_json", "read_stream"]

_BODY_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole reply. `tokens` are (when, how many) of each event that brought tokens; none for one that is no stream.

    Times are seconds since the run's start; `prompt_tokens` and `output_tokens` are as the server counts, None where
    it does not say.
    """

    done_s: float
    tokens: tuple[tuple[float, int], ...]
    prompt_tokens: int | None
    output_tokens: int | None


class _Source:
    """The recorded bytes in the place of a socket, for the standard library's parser of heads."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self.file


def _parts(recording: Recording) -> Iterator[tuple[bytes, int]]:
    """Pieces of the body and the offset at which each ends in what was received.

    Raises `RequestError` for a broken connection, an HTTP error and an answer that is cut.
    """
    if recording.error is not None:
        raise RequestError(f"{type(recording.error).__name__}: {recording.error}")
    status, headers, start = _head(recording)
    chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    parts = _chunks(recording.data, start) if chunked else _rest(recording, start, headers)
    if status >= http.client.BAD_REQUEST:
        text = b"".join(part for part, _ in parts).decode("utf-8", "replace")
        raise RequestError(f"HTTP {status}: {text[:_BODY_SHOWN]}", status=status, body=text)
    yield from parts


def _head(recording: Recording) -> tuple[int, Any, int]:
    """Status, headers, and the offset at which the body begins."""
    source = _Source(recording.data)
    # closed while its file is there: left to the garbage collector it flushes a file that may be closed already
    with contextlib.closing(http.client.HTTPResponse(cast("Any", source))) as response:
        try:
            response.begin()
        except (http.client.HTTPException, ValueError) as error:
            raise RequestError(f"no HTTP answer: {type(error).__name__}: {error}") from error
        return response.status, response.headers, source.file.tell()


def _rest(recording: Recording, start: int, headers: Any) -> Iterator[tuple[bytes, int]]:
    """The pieces in which a body without chunks arrived."""
    data, length = recording.data, headers.get("Content-Length")
    end = len(data) if length is None else start + int(length)
    if end > len(data):
        raise RequestError(f"the answer is cut: {len(data) - start} bytes of {length}")
    for offset, _ in recording.arrivals:
        piece_end = min(offset, end)
        if piece_end > start:
            yield data[start:piece_end], piece_end
            start = piece_end


def _chunks(data: bytes, start: int) -> Iterator[tuple[bytes, int]]:
    while True:
        line = data.find(b"\r\n", start)
        digits = data[start:line].partition(b";")[0].strip() if line >= 0 else b""
        try:
            size = int(digits, 16)
        except ValueError:
            raise RequestError(f"the answer is cut after {start} bytes") from None
        if size == 0:
            return
        end = line + 2 + size
        if end > len(data):
            raise RequestError(f"the answer is cut after {len(data)} bytes")
        yield data[line + 2 : end], end
        start = end + 2


class _Lines:
    """The lines of a body; `end` is the offset of the piece in which the line handed out last has ended."""

    def __init__(self, recording: Recording) -> None:
        self._parts = _parts(recording)
        self.end = 0

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for part, end in self._parts:
            self.end = end
            lines = (rest + part).split(b"\n")
            rest = lines.pop()
            yield from lines


def read_json(recording: Recording) -> tuple[Any, float]:
    """The JSON of an answer and when it was whole; raises `RequestError` when it is none."""
    parts = list(_parts(recording))
    body = b"".join(part for part, _ in parts)
    try:
        value = json.loads(body)
    except ValueError:
        raise RequestError(f"the answer is not JSON: {body[:_BODY_SHOWN]!r}") from None
    return value, recording.at_s(parts[-1][1])


def read_stream(recording: Recording) -> Answered:
    """A stream of completions or chat up to its [DONE]; raises `RequestError` for an error in it and when it is cut.

    An event brings as many tokens as its usage has risen by, one where it has text and the server does not count; the
    last event of llama.cpp has usage and no text, and brings none.
    """
    lines = _Lines(recording)
    tokens: list[tuple[float, int]] = []
    counted = 0
    usage: dict[str, Any] = {}
    for data in sse.data_of(lines):
        at_s = recording.at_s(lines.end)
        if data == sse.DONE:
            return Answered(
                done_s=at_s,
                tokens=tuple(tokens),
                prompt_tokens=usage.get("prompt_tokens"),
                output_tokens=usage.get("completion_tokens"),
            )
        try:
            event = json.loads(data)
        except ValueError:
            raise RequestError(f"an event of the stream is not JSON: {data[:_BODY_SHOWN]!r}") from None
        if "error" in event:
            raise RequestError(f"error in the stream: {str(event['error'])[:_BODY_SHOWN]}")
        usage = event.get("usage") or usage
        choice = (event.get("choices") or [{}])[0]
        new = _new_tokens(event, choice, counted)
        if new:
            tokens.append((at_s, new))
            counted += new
    raise RequestError("the stream ended without [DONE]")


def _new_tokens(event: dict[str, Any], choice: dict[str, Any], counted: int) -> int:
    delta = choice.get("delta") or {}
    text = choice.get("text") or delta.get("content") or delta.get("reasoning_content")
    if not text and (choice.get("finish_reason") or not choice):
        return 0
    if event.get("usage"):
        return max(0, int(event["usage"]["completion_tokens"]) - counted)
    return 1 if text else 0
