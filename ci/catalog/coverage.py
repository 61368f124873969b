"""What says that a test written for CUDA can, or cannot, run on an AMD GPU: the rows of `coverage.toml`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ci.catalog.columns import Regex, Slug, Sourced, Text, Texts
from ci.catalog.decode import Reader
from ci.errors import Problem

__all__ = ["CoverageRules", "Trait", "TraitRow", "WordRow", "load_coverage"]


class Trait(StrEnum):
    """What a file's contents say beside its words; each member has a row with its points."""

    DISABLED = "disabled"
    SKIPPED_ON_AMD = "skipped-on-amd"
    NEEDS_CUDA = "needs-cuda"
    SKIPPED_IN_CI = "skipped-in-ci"
    NO_SERVER = "no-server"
    KNOWN_MODELS = "known-models"
    UNKNOWN_MODELS = "unknown-models"
    KNOWN_HELPERS = "known-helpers"
    UNKNOWN_HELPERS = "unknown-helpers"
    KNOWN_ARGUMENTS = "known-arguments"
    UNKNOWN_ARGUMENTS = "unknown-arguments"
    ONE_GPU = "one-gpu"
    MANY_GPUS = "many-gpus"
    SHORT = "short"
    LONG = "long"
    SUITE_SHARE = "suite-share"
    AREA_SHARE = "area-share"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRow(Sourced):
    """A word of imports, names, arguments and strings; `pattern` is searched in single words in lower case.

    `with_server`: it counts only in a test that starts a server; without one the test has the name of a part of it.
    """

    id: Slug
    pattern: Regex
    points: int
    with_server: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitRow(Sourced):
    """The points of a trait; those of a share are for all files, and their opposite for none."""

    id: Trait
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launcher(Sourced):
    id: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Skip(Sourced):
    id: Trait
    patterns: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRules:
    """`coverage.toml`: words in the file's order, points by trait, names that start a server, conditions of skips."""

    words: tuple[WordRow, ...]
    traits: Mapping[Trait, TraitRow]
    launchers: tuple[str, ...]
    skips: Mapping[Trait, re.Pattern[str]]


def load_coverage(reader: Reader) -> CoverageRules:
    """Read coverage.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("coverage.toml", "word", "trait", "launcher", "skip")
    traits = {row.id: row for row in file.rows("trait", TraitRow)}
    if file.complete("trait"):
        reader.problems += [
            Problem(where="coverage.toml", what=f"no [[trait]] row {trait}", hint="each trait needs points")
            for trait in Trait
            if trait not in traits
        ]
    return CoverageRules(
        words=file.rows("word", WordRow),
        traits=traits,
        launchers=tuple(row.id for row in file.rows("launcher", _Launcher)),
        skips={row.id: re.compile("|".join(row.patterns)) for row in file.rows("skip", _Skip)},
    )
