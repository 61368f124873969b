"""How evidence is put into lines, and read from an event's message."""

import re
from collections.abc import Iterable
from dataclasses import replace

from .tracebacks import ProcessEnd, RaisedError
from .values import FailedCase

__all__ = ["by_message", "error_of_message", "killed_by_sglang", "line_of", "unquoted"]

_SAYS_KILLED = re.compile(r"SIGKILL|code (?:-9|137)\b|return_code=(?:-9|137)\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


def by_message(cases: Iterable[FailedCase]) -> tuple[str, ...]:
    """A line for each message: a server that ends takes every case of a file along."""
    names: dict[str, list[str]] = {}
    for case in cases:
        names.setdefault(case.message, []).append(case.case)
    return tuple(
        f"{first}{f' and {len(others)} more' if others else ''}: {message}"
        for message, (first, *others) in names.items()
    )


def killed_by_sglang(ended: ProcessEnd | None, message: str) -> tuple[str, ...]:
    # one that was killed itself may have been the kernel's victim
    if ended is None or not ended.errors or _SAYS_KILLED.search(message) is None:
        return ()
    return ("SGLang then ends its own processes with SIGKILL (-9, 137): it is no lack of memory",)


def line_of(error: RaisedError, who: str) -> str:
    return f"{who} ended first: {error.text()}" if who else error.text()


def unquoted(error: RaisedError) -> str:
    """What an error says; a complaint about a value does not say what the value says."""
    if error.raises != "ValueError":
        return error.text()
    return replace(error, message=_QUOTED.sub("...", error.message)).text()


def error_of_message(message: str) -> RaisedError:
    """An event's message: `Class: text`."""
    raises, separator, text = message.partition(": ")
    known = separator and raises.replace(".", "_").isidentifier()
    return RaisedError(raises=raises if known else "", message=text if known else message)
