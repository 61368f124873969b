"""The engine's stream of an exec without a terminal: frames of an 8-byte header and a payload.

The header is the stream's number (1 output, 2 errors), three zero bytes and the payload's length, big-endian.
"""

import struct

__all__ = ["STDERR", "STDOUT", "FrameError", "Frames"]

STDOUT, STDERR = 1, 2

_HEADER = struct.Struct(">BxxxL")


class FrameError(Exception):
    """The bytes are no frames."""


class Frames:
    """Takes bytes as they come and hands out the payloads as soon as there is anything of them."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    @property
    def whole(self) -> bool:
        """Whether the stream may end here: not inside a header or a payload."""
        return not self._header and not self._left

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The pieces that these bytes complete or continue, as (stream, payload) in order.

        Raises:
            FrameError: a header names no stream.
        """
        pieces = []
        at = 0
        while at < len(data):
            if not self._left:
                need = _HEADER.size - len(self._header)
                self._header += data[at : at + need]
                at += need
                if len(self._header) < _HEADER.size:
                    break
                self._stream, self._left = _HEADER.unpack(self._header)
                if self._stream not in (STDOUT, STDERR):
                    raise FrameError(f"no frame begins with {self._header!r}")
                self._header = b""
                continue
            payload = data[at : at + self._left]
            at += len(payload)
            self._left -= len(payload)
            pieces.append((self._stream, payload))
        return pieces
