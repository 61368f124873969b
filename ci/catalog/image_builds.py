"""What images are built from here: the rehearsal's default base, and SGLang's Dockerfile with its arguments."""

from dataclasses import dataclass
from typing import ClassVar

from ci.catalog.columns import Sourced, Text
from ci.catalog.decode import Reader

__all__ = ["Base", "BuildRows", "Dockerfile", "load_builds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base(Sourced):
    """The image that a rehearsal image is made from when no other is named."""

    KEY: ClassVar[str] = "reference"

    reference: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile(Sourced):
    """A Dockerfile of a checkout; the arguments are the names of those that choose the stage and the commit."""

    KEY: ClassVar[str] = "path"

    path: Text
    arch_argument: Text
    commit_argument: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRows:
    """All rows of builds.toml."""

    base: Base
    dockerfile: Dockerfile


def load_builds(reader: Reader) -> BuildRows:
    """Read builds.toml, which has one row of each kind; what is wrong is added to the reader's problems."""
    file = reader.open("builds.toml", "base", "dockerfile")
    return BuildRows(base=file.row("base", Base), dockerfile=file.row("dockerfile", Dockerfile))
