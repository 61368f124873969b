"""Logs as they are handed out: decoded, without decoration."""

import pytest

from ci.errors import UsageError
from ci.repro.log_text import decode_log


@pytest.mark.parametrize("magic", [b"PK\x03\x04x", b"\x1f\x8bx"])
def test_an_archive_is_not_a_log(magic: bytes) -> None:
    with pytest.raises(UsageError, match="not a log"):
        decode_log(magic, where="logs.zip")
