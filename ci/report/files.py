"""What became of each file of a report."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Failed", "Written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that now holds its report."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A file that could not be written; what stood there before still does."""

    path: Path
    because: str
