"""What one version of SGLang reads and accepts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ci.catalog.versions import Version

__all__ = ["Declared", "How", "Option", "ParserFact", "Reader", "SglangFacts", "VariableFact"]


class How(StrEnum):
    """How a reader takes the text of a variable."""

    FIELD = "field"  # declared in environ.py, which says how
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    COMPARED = "compared"
    TRUTH = "truth"  # any text is true
    PRESENCE = "presence"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One place that reads a variable; `place` is file:line.

    `yes` are the words that a `bool` reader takes as true, and `no` those that it takes as false: any other is false too. A
    `compared` one looks for the words of `yes`, which may be those for false. With `folded` they are in lower case.
    `default` is source text, empty for none.
    """

    place: str
    how: How
    code: str
    default: str = ""
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A field of environ.py. `parsed` is what each of our values becomes, `invalid` the reason for those that it refuses.

    `renamed` is the field's new name when this one is an alias of it.
    """

    place: str
    type: str
    default: str
    parsed: Mapping[str, str] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    renamed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableFact:
    """Everything that a tree says of one variable; `mentions` are places that name it without reading it."""

    name: str
    declared: Declared | None
    readers: tuple[Reader, ...]
    mentions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A server argument. `type` is flag, str, int, float or other; `nargs` as argparse has it, 0 for a flag.

    `choices` is None where any value is accepted, or where they are computed and could not be read (`choices_unread`).
    `instead` is what a deprecated one names in its place.
    """

    names: tuple[str, ...]
    type: str
    nargs: int | str | None = None
    choices: tuple[str, ...] | None = None
    choices_unread: bool = False
    deprecated: bool = False
    instead: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserFact:
    """The server arguments, and how they were found.

    `refused` is what the real parser says of a value that only its own code can judge, by (option, value).
    """

    source: str
    options: tuple[Option, ...]
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SglangFacts:
    """One version of SGLang. `release` is None for a tree that is at no release; `lists` are lists of allowed values by
    their names, `declared` the variables of environ.py.
    """

    title: str
    version: str
    version_source: str
    release: Version | None
    environ_source: str
    variables: Mapping[str, VariableFact]
    parser: ParserFact
    lists: Mapping[str, tuple[str, ...]]
    declared: tuple[str, ...]
    files_scanned: int
