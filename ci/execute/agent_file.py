"""The agent as one file: an archive of the package `ci/agent` that Python runs, the same in every place."""

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AGENT_NAME", "AgentFile", "agent_file"]

AGENT_NAME = "agent.pyz"

_SOURCE = Path(__file__).parents[1] / "agent"
# a name of its own: what tests import cannot be hidden by it
_PACKAGE = "amd_ci_agent"
_MAIN = f"""\
import sys

from {_PACKAGE}.program import main

sys.exit(main(sys.argv[1:]))
"""
# what would differ between two builds is fixed: the oldest date that a zip can hold, a plain file's mode
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644
_UNIX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """The archive's bytes and their SHA-256 in hexadecimal."""

    data: bytes
    sha256: str


@functools.cache
def agent_file() -> AgentFile:
    """The agent of this repository: byte for byte the same for the same sources, whichever Python builds it."""
    files = {
        f"{_PACKAGE}/{path.relative_to(_SOURCE).as_posix()}": path.read_bytes()
        for path in _SOURCE.rglob("*.py")
    }
    data = _archive({"__main__.py": _MAIN.encode(), **files})
    return AgentFile(data=data, sha256=hashlib.sha256(data).hexdigest())


def _archive(files: dict[str, bytes]) -> bytes:
    """A zip of these files, not compressed: what zlib writes differs between its versions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()
