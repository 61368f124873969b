"""The symptom of a failure: one short line that is the same for the same failure in another run, on another machine.

It has the kind of error, its message without what changes from run to run, and the innermost place of the test or the
product: `AssertionError: score # is below # @ test_gsm8k.py:test_accuracy`.
"""

import hashlib
import re
from collections.abc import Sequence

from .tracebacks import ESCAPES, Frame, RaisedError

__all__ = ["normal_text", "symptom_of"]

# A symptom is read in a table; what is longer is told apart by a digest.
_CHARS = 160
# of a message that is looked at: the end of a longer one is data
_MESSAGE_CHARS = 1000

# Words that number what takes part: which of them fails first changes.
_NUMBERED = (
    "attempt|card|cuda|device|dp|ep|gpu|hip|id|iter|job|layer|node|pid|port|pp|proc|process|rank|req|request|rid|"
    "run|shard|slot|step|thread|tmp|tp|try|worker"
)
_NUMBER = r"(?<![A-Za-z_0-9])[-+]?(?:\d[\d_]*(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_UNITS = "[kKMGT]i?[Bb]|bytes?|%|[mnµu]?s|min|h"
_REPLACED = (
    # the head of a line of a logger or of a rank
    (r"^(?:\[(?=[^\]]*(?:\d{4}-\d\d-\d\d|[TDPE]P\d|rank ?\d))[^\]]*\]:?\s*|(?:[TDPE]P|rank ?)\d+: +)+", ""),
    (
        r"(\w+://)(?:[^\s/'\"]*@)?(?:\[[0-9a-fA-F:]+\]|\d+(?:\.\d+){3}|localhost)(?::\d+)?[^\s'\"),]*",
        r"\1HOST",
    ),
    (r"(\w+://)(?:[^\s/'\"]*@)?([\w.-]+)(?::\d+)?[^\s'\"),]*", r"\1\2"),
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "#"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "#"),
    (r"\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b", "#"),
    # a path keeps the name of a file that is somebody's source or data, not that of a scratch file
    (r"(?<![\w.:/])~?(?:/[\w.@+=,-]+)+/(?=[A-Za-z_][\w-]*\.[A-Za-z]{1,12}\b)", ".../"),
    (r"(?<![\w.:/])~?(?:/[\w.@+=,-]+)+/?", "PATH"),
    (r"\b0[xX][0-9a-fA-F]+\b", "#"),
    (r"(?<![\w.])(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b", "#"),
    (r"\b\d+(?:\.\d+){3}(?::\d+)?\b", "#"),
    (rf"(?i)(?<![a-z])((?:{_NUMBERED})[ :=_#-]{{0,2}})\d+", r"\1#"),
    (rf"{_NUMBER}(?:\s?(?:{_UNITS})(?![A-Za-z0-9_]))?", "#"),
    # text that a model or a program made
    (r"'[^']*\s[^']*'", "'...'"),
    (r'"[^"]*\s[^"]*"', '"..."'),
    (r"(#)(?:(?:\s*[,:x/-]\s*|\s+)#)+", r"\1"),
    (r"([\w#]+)(?:, \1)+", r"\1"),
    (r"\s+", " "),
)
_PATTERNS = tuple((re.compile(pattern), by) for pattern, by in _REPLACED)

_LIBRARY = re.compile(
    r"/lib(?:64)?/python\d|/(?:site|dist)-packages/|^<|(?:^|/)unittest/|(?:^|/)test/harness/"
)
_PRODUCT = re.compile(r"/(?:sglang|sgl_kernel|sgl-kernel|aiter|sgl_\w+)/")


def symptom_of(errors: Sequence[RaisedError], text: str = "") -> str:
    """The symptom of a failure: of the error that ended it, else of a line about it; empty without both."""
    if not errors:
        return _short(normal_text(text))
    error = errors[0]
    name, message = error.raises.rpartition(".")[2], normal_text(error.message)
    frame = _own_frame(error.frames)
    place = f" @ {frame.file.rpartition('/')[2]}:{frame.function}" if frame is not None else ""
    return _short(f"{name}: {message}" if message else name, place)


def normal_text(text: str) -> str:
    """The first line of a text without numbers, paths, addresses, ids and times."""
    lines = (line.strip() for line in ESCAPES.sub("", text).splitlines())
    line = next((line for line in lines if line), "")[:_MESSAGE_CHARS]
    for pattern, by in _PATTERNS:
        line = pattern.sub(by, line)
    return line.strip()


def _own_frame(frames: Sequence[Frame]) -> Frame | None:
    """The innermost frame of the test or the product; None where all are of libraries."""
    return next((frame for frame in reversed(frames) if _is_own(frame.file)), None)


def _is_own(file: str) -> bool:
    return not _LIBRARY.search(file) or _PRODUCT.search(file.rpartition("-packages")[2]) is not None


def _short(text: str, place: str = "") -> str:
    room = _CHARS - len(place)
    if len(text) <= room:
        return text + place
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{text[: max(room - 12, 20)]}...{digest}{place}"
