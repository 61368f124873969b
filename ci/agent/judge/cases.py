"""Cases that failed, as pytest and unittest print them: each with the error that ended it and what that was raised over."""

import re
from collections.abc import Sequence

from .tracebacks import CAUSED, CHAINED, FRAMES_KEPT, Frame, RaisedError
from .values import FailedCase

__all__ = ["CaseReader", "is_same_case"]

_SECTION = re.compile(r"={3,} (?P<name>[^=].*?) ={3,}$")
# not the line between two entries of a traceback, `_ _ _`
_CASE = re.compile(r"(?!(?:_ )+_?$)_+ (?P<name>\S.*?) _+$")
_CAPTURED = re.compile(r"-{3,} ?(?:Captured|generated xml|coverage|live log).*-{3,}$")
_LINE = re.compile(r"E(?: {2,}(?P<text>.*))?$")
_PLACE = re.compile(
    r"(?P<file>[\w./<>@+ -]+\.py):(?P<line>\d+):(?: in (?P<function>\S+)| (?P<raises>[\w.]+))?$"
)
# the head of a function whose source pytest shows, decorators before it
_DEF = re.compile(r"[> ]   +(?:async )?def (?P<function>\w+)\(")
_ERROR = re.compile(r"(?P<raises>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*): ?(?P<message>.*)$")
_CLASS = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failed|Timeout|Group|Warning)$"
)
_SUMMARY = re.compile(r"(?:FAILED|ERROR) (?P<case>\S+\.py\S*(?: [^-]\S*)*?)(?: - (?P<message>.*))?$")
_UNITTEST = re.compile(r"(?:ERROR|FAIL): (?P<case>\S+(?: \([^)]*\))?.*)$")
_PREFIXES = re.compile(r"^(?:ERROR at (?:setup|teardown) of|ERROR collecting) ")
# lines of one message that are kept
_MESSAGE_LINES = 16


class CaseReader:
    """Reads the failures of pytest and of unittest out of a log."""

    def __init__(self) -> None:
        self._cases: list[FailedCase] = []
        self._summary: dict[str, str] = {}
        self._in_failures = False  # between pytest's heads FAILURES or ERRORS and the next one
        self._name = ""  # of pytest's case while its own lines come
        self._chain: list[RaisedError] = []
        self._lines: list[str] = []  # of the error that comes in
        self._frames: list[Frame] = []
        self._function = ""  # whose source is shown
        self._link = ""
        self._ruled = False  # the line before was a rule of `=`
        self._unittest = ""  # unittest's case until its traceback has come
        self._begun = 0

    def take(self, number: int, line: str) -> bool:
        """The next line; true when it is a part of a case and nothing else."""
        head = line[:3]
        if head == "===":
            return self._rule(line)
        if self._ruled:
            self._ruled = False
            unittest = _UNITTEST.match(line)
            if unittest is not None:
                self._unittest, self._begun = unittest["case"], number
                return True
        if self._in_failures and head[:1] == "_" and (case := _CASE.match(line)) is not None:
            self._finish()
            self._name = _PREFIXES.sub("", case["name"])
            return True
        if self._name:
            return self._in_case(line)
        if head in ("FAI", "ERR") and (summary := _SUMMARY.match(line)) is not None:
            self._summary.setdefault(summary["case"], summary["message"] or "")
            return True
        return False

    def takes_traceback(self, number: int, chain: tuple[RaisedError, ...]) -> bool:
        """Whether a traceback that began at this line is that of unittest's case, or of pytest's in its native style."""
        if self._unittest and number > self._begun:
            self._add(self._unittest, chain)
            self._unittest = ""
            return True
        if self._name and not self._chain and not self._lines:
            self._chain = [*reversed(chain)]
            return True
        return False

    def close(self) -> list[FailedCase]:
        """All cases, also those of which only the summary's line is there."""
        self._finish()
        known: dict[str, list[str]] = {}
        for case in self._cases:
            known.setdefault(_last(case.case), []).append(case.case)
        for name, message in self._summary.items():
            if not any(is_same_case(each, name) for each in known.get(_last(name), ())):
                error = _error_of(message) if message else None
                self._cases.append(
                    FailedCase(
                        case=name,
                        message=message or "it failed",
                        chains=((error,),) if error is not None else (),
                    )
                )
        return self._cases

    def _rule(self, line: str) -> bool:
        section = _SECTION.match(line)
        if section is None:
            self._ruled = set(line) == {"="}
            if self._ruled:
                self._finish()
            return True
        self._finish()
        self._in_failures = section["name"] in ("FAILURES", "ERRORS")
        self._name = ""
        return True

    def _in_case(self, line: str) -> bool:
        """A line between the head of pytest's case and the next one."""
        if line[:3] == "---" and _CAPTURED.match(line) is not None:
            self._finish()
            return True
        if line[:1] == "E" and (mine := _LINE.match(line)) is not None:
            if len(self._lines) < _MESSAGE_LINES:
                self._lines.append(mine["text"] or "")
            return True
        place = _PLACE.match(line) if line[:1].strip() else None
        if place is not None:
            function = place["function"] or self._function
            self._frames.append(Frame(file=place["file"], line=int(place["line"]), function=function))
            self._function = ""
            if self._lines:
                self._end_error(place["raises"] or "")
            return True
        if line.strip() in CHAINED:
            self._end_error("")
            self._link = line.strip()
            return True
        if not self._function and (source := _DEF.match(line)) is not None:
            self._function = source["function"]
        # source lines, or output that ran into it; a traceback in the native style is read as one
        return line[:1] in (" ", ">", "") and "Traceback (most recent" not in line and not self._native(line)

    def _native(self, line: str) -> bool:
        return line.startswith('  File "') or (
            line.startswith("    ") and not self._lines and not self._chain
        )

    def _end_error(self, raises: str) -> None:
        if not self._lines:
            return
        first = next((line.strip() for line in self._lines if line.strip()), "")
        error = _error_of(first)
        short_name = raises.rpartition(".")[2]
        if error is None or (raises and error.raises.rpartition(".")[2] != short_name):
            plain = first.startswith(("assert ", "Failed: "))
            error = RaisedError(raises=raises or ("AssertionError" if plain else "Exception"), message=first)
        rest = " ".join(line.strip() for line in self._lines[1:] if line.strip())
        message = f"{error.message} {rest}".strip() if error.raises != "AssertionError" else error.message
        self._chain.append(
            RaisedError(
                raises=error.raises,
                message=message,
                frames=tuple(self._frames[-FRAMES_KEPT:]),
                caused=self._link == CAUSED,
            )
        )
        self._lines, self._frames, self._function, self._link = [], [], "", ""

    def _finish(self) -> None:
        self._end_error("")
        if self._name:
            self._add(self._name, tuple(reversed(self._chain)))
        self._name, self._chain, self._lines, self._frames, self._function = "", [], [], [], ""

    def _add(self, name: str, chain: Sequence[RaisedError]) -> None:
        message = chain[0].text() if chain else "it failed"
        self._cases.append(FailedCase(case=name, message=message, chains=(tuple(chain),) if chain else ()))


def _error_of(text: str) -> RaisedError | None:
    found = _ERROR.match(text)
    if found is not None:
        return RaisedError(raises=found["raises"], message=found["message"])
    if text.startswith("assert "):
        return RaisedError(raises="AssertionError", message=text)
    return RaisedError(raises=text, message="") if _CLASS.match(text) else None


def _last(name: str) -> str:
    return name.replace("::", ".").partition(" (")[0].rpartition(".")[2]


def is_same_case(one: str, other: str) -> bool:
    """Whether two names are of one case: a node id, and what a runner prints above its error."""
    first, second = (name.replace("::", ".").rpartition("/")[2].partition(" (")[0] for name in (one, other))
    return first == second or first.endswith(f".{second}") or second.endswith(f".{first}")
