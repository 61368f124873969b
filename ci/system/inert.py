"""The one door to what GitHub Actions reads: nothing that passes it is taken for a workflow command. Standard library alone.

The runner reads each line that a step prints. `::name key=value::data` at the start of a line and `##[name]data` anywhere
in it are commands: they set variables, change the PATH, hide text or end the log's groups. Test output, names and values
must not. A space in the mark makes it text: `: :error::`, `## [error]`.
"""

import io
import logging
import re
import sys
from collections.abc import Mapping
from typing import IO, Final, TextIO, cast

__all__ = ["InertStream", "guard_output", "guarded", "inert", "inert_json", "send_command"]

# What ends a line for some reader: the runner splits at the first two.
_BREAKS: Final = "\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
# Characters that the runner's culture-sensitive comparison passes over: controls, format characters, fillers and
# variation selectors.
_HIDDEN: Final = (
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK: Final = "\t \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
# Colour and cursor movement: a log that is shown without them must not hold a command either.
_ANSI: Final = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))"
# the escape character alone first: what comes next may be in a piece that is not there yet
_NOTHING: Final = rf"(?:[{_HIDDEN}]|{_ANSI})*?"

# Each match ends before the character that would complete a mark, so a line can be made inert while it is written.
_AT_START: Final = re.compile(
    rf"(?:^|(?<=[{_BREAKS}]))(?:{_ANSI}|[{_HIDDEN}{_BLANK}])*?:{_NOTHING}(?=:)",
)
_ANYWHERE: Final = re.compile(rf"#{_NOTHING}#{_NOTHING}(?=\[)")
_LAST_BREAK: Final = re.compile(rf"[{_BREAKS}](?=[^{_BREAKS}]*\Z)")

# A line longer than this is remembered by its first and last characters: enough for a mark that is written in pieces.
_LINE_CHARS: Final = 4096
_END_CHARS: Final = 512


def inert(text: str) -> str:
    """The text with every workflow command in it made text, at the start of each of its lines too."""
    if ":" in text:
        text = _AT_START.sub(r"\g<0> ", text)
    return _ANYWHERE.sub(r"\g<0> ", text) if "#" in text else text


def inert_json(text: str) -> str:
    """JSON with the same meaning and no mark in it: a bracket after two number signs is inside a string."""
    return re.sub(rf"(#{_NOTHING}#{_NOTHING})\[", r"\1\\u005b", text)


class InertStream(io.TextIOBase):
    """A stream all of whose text is made inert, in whatever pieces it is written; `send` alone writes commands."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to this stream from now on."""
        super().__init__()
        self._stream = stream
        self._line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a variable in the base class, never set there
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        whole = self._line + text
        self._stream.write(inert(whole)[len(inert(self._line)) :])
        found = _LAST_BREAK.search(whole)
        line = whole[found.end() :] if found else whole
        self._line = line if len(line) <= _LINE_CHARS else _shortened(line)
        return len(text)

    def send(self, command: str) -> None:
        """Write a workflow command, on a line of its own."""
        lead = "\n" if self._line else ""
        self._stream.write(f"{lead}{command}\n")
        self._line = ""

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True


def _shortened(line: str) -> str:
    """What of a long line decides about its next characters: how it begins, and its end."""
    blank = re.match(rf"(?:{_ANSI}|[{_HIDDEN}{_BLANK}])*", line)
    end = blank.end() if blank else 0
    rest = line[end - 1 if line[end - 1 : end] == "\x1b" else end :]
    return rest if len(rest) <= _END_CHARS else rest[0] + rest[-_END_CHARS:]


def guarded(stream: IO[str] | InertStream) -> InertStream:
    """This stream, inert."""
    return stream if isinstance(stream, InertStream) else InertStream(stream)


def send_command(stream: IO[str] | InertStream, command: str) -> None:
    """Write a workflow command of ours to a stream that may be inert."""
    guarded(stream).send(command)


def guard_output(environ: Mapping[str, str]) -> None:
    """In Actions, make all that this process prints inert, log handlers' lines and tracebacks too; elsewhere nothing."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return
    before = (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (cast("TextIO", guarded(_lenient(stream))) for stream in before)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            if handler.stream in (before[0], sys.__stdout__):
                handler.setStream(sys.stdout)
            elif handler.stream in (before[1], sys.__stderr__):
                handler.setStream(sys.stderr)


def _lenient(stream: TextIO) -> TextIO:
    """The stream, with characters that its encoding lacks spelled out instead of an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
