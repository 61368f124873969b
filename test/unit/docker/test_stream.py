"""The engine's stream of frames: standard output and error in one connection."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.docker.stream import FrameError, Frames

PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=8)


def encoded(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(data)) + data for stream, data in pieces)


class TestFrames:
    @given(PIECES, st.lists(st.integers(0, 3000), max_size=12))
    def test_however_the_bytes_are_cut_each_stream_is_whole(
        self, pieces: list[tuple[int, bytes]], cuts: list[int]
    ) -> None:
        data, frames, got = encoded(pieces), Frames(), []
        edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for begin, end in pairwise(edges):
            got += frames.feed(data[begin:end])
        for stream in (1, 2):
            assert b"".join(d for s, d in got if s == stream) == b"".join(d for s, d in pieces if s == stream)
        assert frames.whole

    @given(PIECES, st.integers(1, 7))
    def test_an_end_inside_a_header_is_not_a_whole_stream(
        self, pieces: list[tuple[int, bytes]], cut: int
    ) -> None:
        frames = Frames()
        frames.feed(encoded(pieces) + struct.pack(">BxxxL", 1, 5)[:cut])
        assert not frames.whole

    def test_other_bytes_are_refused(self) -> None:
        with pytest.raises(FrameError):
            Frames().feed(b"HTTP/1.1 200 OK\r\n")
