"""Ranges of engine versions that a row is for: `>=0.5.12`, `<0.5.20`, or `>=0.5.12,<0.5.20`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from packaging.version import InvalidVersion, Version

from ci.catalog.columns import fitting

__all__ = [
    "VERSIONED_ENGINE",
    "InvalidVersion",
    "Range",
    "Version",
    "Versions",
    "gap_in",
    "newest",
    "release_of",
    "span_of",
]

# the engine that the ranges of variables are about; a capability row names its own
VERSIONED_ENGINE: Final = "sglang"

_FIRST: Final = Version("0.dev0")
_FORM: Final = "a range of releases, e.g. >=0.5.12,<0.5.20"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From `least` on, up to but without `below`; None is no limit."""

    least: Version | None = None
    below: Version | None = None

    def has(self, release: Version) -> bool:
        """Whether the release is in the range."""
        return (self.least is None or release >= self.least) and (self.below is None or release < self.below)

    def overlaps(self, other: "Range") -> bool:
        """Whether a release can be in both."""
        return _ends_after(self, other) and _ends_after(other, self)


def _ends_after(one: Range, other: Range) -> bool:
    return one.below is None or other.least is None or one.below > other.least


def release_of(version: str) -> Version | None:
    """The release that a version names, None for a commit's: `0.5.13.dev12+g1a2b3c4` may be before or after a change
    that 0.5.13 has, and `0.0.0` is what a tree without tags gives itself.
    """
    try:
        parsed = Version(version)
    except InvalidVersion:
        return None
    return None if parsed.is_devrelease or not any(parsed.release) else parsed


def span_of(versions: str) -> Range:
    """The range of a checked column; every release for an empty one.

    Raises:
        ValueError: not a range.
    """
    limits: dict[str, Version] = {}
    for part in filter(None, versions.split(",")):
        words = part.strip()
        sign = next((sign for sign in (">=", "<") if words.startswith(sign)), "")
        if not sign or sign in limits:
            raise ValueError(_FORM)
        limits[sign] = Version(words.removeprefix(sign).strip())
    span = Range(least=limits.get(">="), below=limits.get("<"))
    if span.least is not None and span.below is not None and span.least >= span.below:
        raise ValueError(_FORM)
    return span


def gap_in(ranges: Iterable[str]) -> str:
    """Releases that none of the ranges has, in words; empty when there are none. The ranges do not overlap."""
    spans = sorted((span_of(text) for text in ranges), key=lambda span: span.least or _FIRST)
    until: Version | None = _FIRST
    for span in spans:
        if until is None or (span.least or _FIRST) > until:
            break
        until = span.below
    if until is None:
        return ""
    return f"release {until}" if until != _FIRST else f"releases before {spans[0].least}"


def newest(ranges: Iterable[str]) -> str:
    """Of ranges that do not overlap, the one with the newest releases."""
    return max(ranges, key=lambda text: span_of(text).least or _FIRST)


def _is_range(text: str) -> bool:
    try:
        return bool(text) and span_of(text) is not None
    except ValueError:
        return False


Versions = Annotated[str, fitting(_is_range, _FORM)]
