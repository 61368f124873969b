"""The symptom of a failure: one short line that is the same for the same failure in another run, on another machine.

It has the kind of error, its message without what changes from run to run, and the innermost place of the test or the
product: `AssertionError: score # is below # @ test_gsm8k.py:test_accuracy`.
"""

import hashlib
import re
from collections.abc import Sequence

from .chains import is_of_a_server, links
from .evidence import Reading
from .tracebacks import ESCAPES, Frame, ProcessEnd, RaisedError
from .values import Facts, FailedCase, Judgement

__all__ = ["normal_text", "symptom_of", "symptom_of_failure"]

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
    (r"(?<!\w)'[^']*\s[^']*'", "'...'"),
    (r'(?<!\w)"[^"]*\s[^"]*"', '"..."'),
    (r"(#)(?:(?:\s*[,:x/.-]\s*|\s+)#)+", r"\1"),
    (r"([\w#]+)(?:, \1)+", r"\1"),
    (r"\s+", " "),
)
_PATTERNS = tuple((re.compile(pattern), by) for pattern, by in _REPLACED)

_LIBRARY = re.compile(
    r"/lib(?:64)?/python\d|/(?:site|dist)-packages/|^<|(?:^|/)unittest/|(?:^|/)test/harness/"
)
_PRODUCT = re.compile(r"/(?:sglang|sgl_kernel|sgl-kernel|aiter|sgl_\w+)/")


def symptom_of_failure(facts: Facts, log: Reading, judgement: Judgement) -> str:
    """The symptom of what was judged: of the error that the verdict is about, else of the line that says most."""
    first = judgement.evidence[0] if judgement.evidence else ""
    cases = facts.failed or tuple(log.cases)
    if cases:
        named = (case for case in cases if any(case.message in line for line in judgement.evidence))
        error = _error_of(next(named, cases[0]), facts, log)
    else:
        error = _printed(first, log) or _error_of_end(facts.ended, log)
    if error is not None and (judgement.rule is None or error.words in first):
        return symptom_of(error)
    if judgement.rule is None and judgement.verdict == "unknown":
        if facts.signal is not None:
            return f"ended by {facts.signal}"
        if facts.exit_code:
            return f"ended with exit code {facts.exit_code}"
        if first in log.newest:
            return "no reason in the log"
    return symptom_of(None, first)


def _printed(line: str, log: Reading) -> RaisedError | None:
    """The error that a line of evidence is about."""
    chains = [*(end.process.errors for end in log.ends), *(chain for _, chain in log.printed)]
    return next((error for chain in chains for error in chain if error.words in line), None)


def _error_of(case: FailedCase, facts: Facts, log: Reading) -> RaisedError | None:
    """What a case failed by: its own error, or what ended the server that this is about."""
    chain = next((chain for chain in case.chains if chain), ())
    if not chain:
        name, separator, message = case.message.partition(": ")
        named = separator and name.replace(".", "_").isidentifier()
        return RaisedError(raises=name if named else "", message=message if named else case.message)
    if not case.assertion and is_of_a_server(chain):
        return _error_of_end(case.ended or facts.ended, log) or chain[0]
    return next(links(chain), chain[0])


def _error_of_end(ended: ProcessEnd | None, log: Reading) -> RaisedError | None:
    """What a process ended with: this one, else the first that did not end because of another."""
    ends = [ended] if ended is not None else [end.process for end in log.ends]
    errors = [end.errors for end in ends if end.errors]
    root = next((chain for chain in errors if not is_of_a_server(chain)), errors[0] if errors else ())
    return next(links(root), None)


def symptom_of(error: RaisedError | None, text: str = "") -> str:
    """The symptom of an error, else of a line about a failure; empty without both."""
    if error is None:
        return _short(normal_text(text))
    name, message = error.raises.rpartition(".")[2], normal_text(error.message)
    frame = _own_frame(error.frames)
    place = ""
    if frame is not None:
        place = f" @ {frame.file.rpartition('/')[2]}" + (f":{frame.function}" if frame.function else "")
    return _short(": ".join(part for part in (name, message) if part), place)


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
