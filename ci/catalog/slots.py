"""What tests that run at a time may not share: the rows of `slots.toml`."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import ClassVar

from ci.catalog.columns import Explained, Sourced, Text, VariableName
from ci.catalog.decode import Reader

__all__ = ["Alone", "Own", "OwnKind", "SlotRows", "load_slots"]


class OwnKind(StrEnum):
    """What the value of a test's own variable is; docs/slots.md says what each is for."""

    FOLDER_OF_TEST = "folder-of-test"
    # the next test on the slot finds it again
    FOLDER_OF_SLOT = "folder-of-slot"
    FIRST_PORT = "first-port"
    SLOT_IDS = "slot-ids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone(Explained):
    """Tests beside which no other test runs; `test` is a path that may hold `*`."""

    KEY: ClassVar[str] = "test"

    test: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Own(Sourced):
    """A variable that each test has for itself where several run at a time."""

    KEY: ClassVar[str] = "name"

    name: VariableName
    kind: OwnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRows:
    """All rows of slots.toml."""

    alone: tuple[Alone, ...]
    own: tuple[Own, ...]

    def alone_of(self, tests: Iterable[str]) -> tuple[str, ...]:
        """Those of the tests that run beside no other."""
        return tuple(test for test in tests if any(fnmatchcase(test, row.test) for row in self.alone))


def load_slots(reader: Reader) -> SlotRows:
    """Read slots.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("slots.toml", "alone", "own")
    return SlotRows(alone=file.rows("alone", Alone), own=file.rows("own", Own))
