"""Text from outside made fit to be shown: nothing is dropped, what a reader cannot see is spelled out."""

import math
import re
from collections.abc import Sequence

__all__ = [
    "case_name",
    "clip",
    "duration",
    "never_run_words",
    "one_line",
    "quantity",
    "short_duration",
    "short_path",
    "size",
    "strip_ansi",
    "unverified_words",
    "visible",
]

# fields that a sentence names
_FIELDS = 5

# CSI and OSC sequences and two-byte escapes: colour and cursor movement, no information.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

# C0 and C1 controls but tab and newline, line separators, bidirectional overrides (they can make a line read as
# another one), lone surrogates and the non-characters that XML forbids.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]",
)


def visible(text: str) -> str:
    r"""The text with each character that would not be seen, or not be valid XML, as `\x1b` or `\u202e`."""
    return _UNSEEN.sub(lambda match: _spelled(ord(match.group())), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    r"""Visible text in one line: line breaks and tabs spelled out as well."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def strip_ansi(text: str) -> str:
    """The text without terminal colours and cursor movements."""
    return _ANSI.sub("", text)


def clip(text: str, lines: int) -> str:
    """At most this many lines, the first ones; the last one says how many follow."""
    found = text.split("\n")
    if len(found) <= lines:
        return text
    return "\n".join([*found[:lines], f"... {len(found) - lines} more lines"])


def duration(seconds: float) -> str:
    """`0.4 s`, `41 s`, `3 min 07 s`, `20 min`, `2 h 05 min`."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s".removesuffix(" 00 s")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min".removesuffix(" 00 min")


def short_duration(seconds: float) -> str:
    """`0:41`, `3:07`, `2:05:00`: as narrow as a column of times allows."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_path(path: str, width: int) -> str:
    """A path in at most `width` characters: whole, else its end behind `.../`, else its name with the middle left out."""
    if len(path) <= width:
        return path
    parts = path.split("/")
    for first in range(1, len(parts)):
        short = "/".join(("...", *parts[first:]))
        if len(short) <= width:
            return short
    name = parts[-1]
    if len(name) <= width:
        return name
    kept = max(0, width - 3)
    return name[: kept - kept // 2] + "..."[:width] + name[len(name) - kept // 2 :]


def unverified_words(fields: Sequence[str]) -> str:
    """That a plan was run as it was saved, with the fields that are not what its request gives; empty without one."""
    if not fields:
        return ""
    more = f"; and {len(fields) - _FIELDS} more" if len(fields) > _FIELDS else ""
    return one_line(
        f"UNVERIFIED: the plan was run as it was saved, and is not what its request gives here: "
        f"{'; '.join(fields[:_FIELDS])}{more}"
    )


def never_run_words(what: str) -> str:
    """That nobody has tried what starts the tests; empty when somebody has."""
    return one_line(f"NEVER RUN: {what} is written from its manual, nothing of it was tried") if what else ""


def case_name(case: str, test: str) -> str:
    """A case without the path of its file, which is shown beside it."""
    return case.removeprefix(f"{test}::")


def size(count: float) -> str:
    """`812 B`, `3.4 KiB`, `23.1 GiB`: bytes with three digits."""
    units = ("B", "KiB", "MiB", "GiB")
    power = 0
    while count >= 1024 and power < len(units) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.3g} {units[power]}" if power and count < 999.5 else f"{count:.0f} {units[power]}"


def quantity(value: float, unit: str = "") -> str:
    """A measured number with up to six significant digits and its unit."""
    number = (
        f"{value:.0f}"
        if math.isfinite(value) and value == round(value) and abs(value) < 1e12
        else f"{value:.6g}"
    )
    return f"{number} {unit}" if unit else number
