"""Logs as they are handed out: decoded, without decoration."""

import pytest

from ci.errors import UsageError
from ci.repro.log.text import clean, decode_log


@pytest.mark.parametrize("magic", [b"PK\x03\x04x", b"\x1f\x8bx"])
def test_an_archive_is_not_a_log(magic: bytes) -> None:
    with pytest.raises(UsageError, match="not a log"):
        decode_log(magic, where="logs.zip")


def test_lines_are_counted_from_one_without_what_was_put_around_them() -> None:
    text = "\ufeff2026-05-29T07:12:03.1234567Z first\r\njob\tstep\t2026-05-29T07:12:03.1Z \x1b[31msecond\x1b[0m\nthird"
    lines = [(line.number, line.job, line.step, line.text) for line in clean(text)]
    assert lines == [(1, "", "", "first"), (2, "job", "step", "second"), (3, "", "", "third")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_log_is_text_in_either_encoding(encoding: str) -> None:
    assert decode_log("größe".encode(encoding), where="log") == "größe"
    assert decode_log(b"a\xff", where="log") == "a\ufffd"
