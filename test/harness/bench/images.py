"""Images to put before a vision model: small to send, and each another one."""

from __future__ import annotations

import base64
import random
import struct
import zlib

__all__ = ["data_url", "png"]

_TILE_PX = 32  # flat tiles compress well: a 512 px image is some 2 kB, so that sending it takes no time


def png(side_px: int, choose: random.Random) -> bytes:
    """A square PNG of flat tiles in random colours, 8 bits each of red, green and blue."""
    rows = bytearray()
    for top in range(0, side_px, _TILE_PX):
        tiles = (choose.randbytes(3) * _TILE_PX for _ in range(0, side_px, _TILE_PX))
        row = b"\0" + b"".join(tiles)[: 3 * side_px]  # 0: a row without a filter
        rows += row * min(_TILE_PX, side_px - top)
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def data_url(side_px: int, choose: random.Random) -> str:
    """Such an image as the `image_url` of a chat message."""
    return f"data:image/png;base64,{base64.b64encode(png(side_px, choose)).decode()}"
