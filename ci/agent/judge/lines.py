"""Lines of a log as the judge reads them: without colours, progress bars, and what a runner or a logger puts in front."""

import re
from collections.abc import Iterator

from .tracebacks import ESCAPES

__all__ = ["LINE_CHARS", "error_of", "is_retried", "lines_of", "without_prefix"]

# a longer line is cut: evidence stands at its beginning
LINE_CHARS = 16384

# GitHub's time in front of every line of a job's log; a part of another log may stand without it
_GITHUB_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ?")
# what other runners and collectors put in front of every line: a time, the name of a container, what the journal has
_OUTER = (
    re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]? ?"),
    re.compile(r"[\w./-]{1,64} *\| ?"),
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ (?!kernel\b)[\w./@-]+(?:\[\d+\])?: ?"),
    re.compile(r"\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]? ?"),
    re.compile(r"\[ *\d+\.\d+ ?s\] ?"),
)
# of a log's beginning and of its end, to see what all lines have in front
_SAMPLE_CHARS = 65536
_SAMPLE_LINES = 2
_NEARLY_ALL = 0.95
# SGLang's `[2026-11-25 15:28:59 DP0] `, torch's `[rank0]:`, vLLM's `(EngineCore pid=7) ERROR 11-25 15:28:59 [core.py:1] `
_PREFIX = re.compile(
    r"(?:\[\d{4}-\d\d-\d\d[T ][^\]]{5,40}\] ?"
    r"|\[(?:TP|DP|PP|EP|rank|Rank )\d+[^\]]{0,20}\]:? ?"
    r"|\([A-Z]\w*(?: ?(?:pid|rank)=\d+|_?\w{0,12})\) ?"
    r"|(?:ERROR|CRITICAL|FATAL)(?: +\d\d-\d\d \d\d:\d\d:\d\d)?(?: \[[\w.]+:\d+\])? *(?::[\w.]+:)? ?"
    r"|##\[error\]"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)? (?:- )?"
    r"|(?:INTERNALERROR>|E  ) +)"
)
# a class by its name, with its module or without; the words are those with which classes of errors end
_CLASS = (
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*"
    r"(?:Error|Exception|Exit|Interrupt|Timeout|Refused|Disconnected|Incomplete|IncompleteRead|NotFound"
    r"|Group|IsEnabled|Failed|Failure|StopIteration|Full|Empty|Warning)"
)
_BARE = re.compile(rf"(?P<raises>{_CLASS})(?:: ?(?P<message>.*))?$")
# what a program prints about a fault that it survives
_RETRIED = re.compile(
    r"\b[Rr]e-?trying\b|\bRETRYING\b|\b[Rr]etry (?:\d|attempt|in\b|\(|#)|\bRetry\(total=|\b[Ww]ill (?:try|retry)|\b[Tt]rying (?:again|the next|next|another|port)"
    r"|\b[Aa]ttempt \d+ ?(?:/|of) ?\d+|\b[Ff]all(?:ing|s)? ?back\b|\b[Ii]gnor(?:e|ed|ing)\b|\b[Ss]kip(?:ped|ping|s)?\b"
    r"|\bWARN(?:ING)?\b|\b\w*Warning: |^W\d{4} |\b[Rr]ecovered\b|\b[Cc]ontinuing\b|\bnon-fatal\b|\b[Uu]sing (?:the )?(?:cached|cache|default)"
    r"|\b[Aa]uto-?tun|##\[warning\]"
)
# one of them is in every such line, and is found in a twentieth of the time
_RETRIED_PIECES = (
    "etry", "ETRY", "will try", "Will try", "rying ", "ttempt ", "alling", "all back", "allback", "alls back", "gnor", "kip", "WARN",
    "arning", "W0", "W1", "ecovered", "ontinuing", "non-fatal", "sing cache", "sing the ", "sing default", "tun",
)  # fmt: skip
_SPENT = re.compile(
    r"\btotal=0\b|\b[Gg]iv(?:ing|es?|en) up\b|\b[Gg]ave up\b|\b[Mm]ax(?:imum)? (?:number of )?retries\b"
    r"|\b[Rr]etr(?:y|ies) (?:exceeded|exhausted)|\bafter \d+ (?:retries|attempts|tries)\b|\b(\d+) ?(?:/|of) ?\1\b"
)


def lines_of(text: str) -> Iterator[str]:
    """The lines, the first part of a very long one; without what nearly all of them have in front."""
    outer = _outer_prefixes(text)
    for raw in text.split("\n"):
        line = _cleaned(raw)
        for prefix in outer:
            if (found := prefix.match(line)) is not None:
                line = line[found.end() :]
        yield line[:LINE_CHARS].rstrip()


def _cleaned(raw: str) -> str:
    line = raw
    if "\x1b" in line:  # a colour in front of a word would hide where the word begins
        line = ESCAPES.sub("", line)
    if "\r" in line:  # a progress bar that is drawn anew: the last drawing stays
        line = line.rstrip("\r").rpartition("\r")[2]
    if line[4:5] == "-" and line[10:11] == "T" and (stamp := _GITHUB_TIME.match(line)) is not None:
        line = line[stamp.end() :]
    return line


def _outer_prefixes(text: str) -> "list[re.Pattern[str]]":
    """What nearly all lines of a log have in front of them, outermost first."""
    parts = [text] if len(text) <= 2 * _SAMPLE_CHARS else [text[:_SAMPLE_CHARS], text[-_SAMPLE_CHARS:]]
    sample = [
        line for part in parts for line in map(_cleaned, part.split("\n")[:-1] or [part]) if line.strip()
    ]
    found: list[re.Pattern[str]] = []
    while len(sample) >= _SAMPLE_LINES and len(found) < len(_OUTER) + 1:
        indent = min(len(line) - len(line.lstrip(" ")) for line in sample)
        choices = (re.compile(" " * indent),) if indent else _OUTER
        chosen = next(
            (
                each
                for each in choices
                if sum(map(bool, map(each.match, sample))) >= _NEARLY_ALL * len(sample)
            ),
            None,
        )
        if chosen is None:
            break
        found.append(chosen)
        sample = [rest for rest in (chosen.sub("", line, count=1) for line in sample) if rest.strip()]
    return found


def without_prefix(line: str) -> str:
    """The message of a logger's line."""
    while (prefix := _PREFIX.match(line)) is not None and prefix.end():
        line = line[prefix.end() :]
    return line


def error_of(line: str) -> tuple[str, str] | None:
    """The class and the message of an exception that stands alone on a line; None for any other line."""
    if line[:1].isspace():
        return None
    found = _BARE.match(without_prefix(line))
    if found is None or found["raises"].endswith("Warning"):
        return None
    return found["raises"], (found["message"] or "").strip()


def is_retried(line: str) -> bool:
    """Whether it says that the program goes on: another try, a fallback, a warning; not the last try of all."""
    if not any(piece in line for piece in _RETRIED_PIECES):
        return False
    return _RETRIED.search(line) is not None and _SPENT.search(line) is None
