"""What images are built from here: the rehearsal's default base, and SGLang's Dockerfile with its arguments."""

from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Tables
from ci.errors import Problem

__all__ = ["Base", "BuildRows", "Dockerfile", "load_builds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The image that a rehearsal image is made from when nothing is said."""

    reference: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A Dockerfile of a checkout; the arguments are the names of those that choose the stage and the commit."""

    path: str
    arch_argument: str
    commit_argument: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRows:
    """All rows of builds.toml."""

    base: Base
    dockerfile: Dockerfile


def load_builds(problems: list[Problem], folder: Path) -> BuildRows:
    """Read builds.toml, which has one row of each kind; what is wrong with it is added to `problems`."""
    tables = Tables(folder / "builds.toml", problems, arrays=("base", "dockerfile"))
    bases, dockerfiles = [], []
    for row in tables.rows("base", "reference"):
        base = Base(reference=row.text("reference"), why=row.text("why"), source=row.text("source"))
        row.done()
        bases.append(base)
    for row in tables.rows("dockerfile", "path"):
        dockerfile = Dockerfile(
            path=row.text("path"),
            arch_argument=row.text("arch_argument"),
            commit_argument=row.text("commit_argument"),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        dockerfiles.append(dockerfile)
    for kind, count in (("base", len(bases)), ("dockerfile", len(dockerfiles))):
        if count != 1:
            tables.problem(kind, f"{count} rows", "exactly one is needed")
    nothing = {"why": "", "source": ""}
    return BuildRows(
        base=bases[0] if bases else Base(reference="", **nothing),
        dockerfile=dockerfiles[0]
        if dockerfiles
        else Dockerfile(path="", arch_argument="", commit_argument="", **nothing),
    )
