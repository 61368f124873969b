"""Where registered tests are: the rules in `discovery.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from ci.catalog.columns import Row, Sourced, Text, matching
from ci.catalog.decode import Reader

__all__ = ["DiscoveryRules", "Root", "TreeKind", "load_discovery"]

_Id = Annotated[str, matching(r"[a-z0-9-]+", "lower case letters, digits and hyphens, e.g. jit-kernel")]
_Path = Annotated[
    str, matching(r"\w[\w.-]*(/\w[\w.-]*)*", "a path within the tree, with slashes, e.g. test/registered")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registrar(Row):
    id: Annotated[str, matching(r"register_[a-z0-9]+_ci", "a function's name, e.g. register_amd_ci")]
    backend: Annotated[str, matching(r"[a-z0-9]+", "lower case letters and digits, e.g. amd")]
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Root(Sourced):
    """A folder of a tree that holds registered tests, searched with all its subfolders."""

    id: _Id
    tree: Text
    path: _Path
    glob: Text
    required: bool = False
    must_register: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKind(Row):
    """A kind of tree and the paths that prove it; `older` proves the layout before it."""

    id: _Id
    title: Text
    markers: tuple[Text, ...]
    older: Text = ""
    older_why: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exempt(Sourced):
    id: _Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRules:
    """`discovery.toml`: backend by registrar, kinds of tree, roots, and files that need no registration."""

    registrars: Mapping[str, str]
    trees: Mapping[str, TreeKind]
    roots: tuple[Root, ...]
    exempt: tuple[str, ...]
    # whether every row could be decoded: else tests may be missed
    complete: bool = True

    def is_exempt(self, file: str) -> bool:
        """Whether the file, a path with slashes, needs no registration."""
        return any(file == name or file.endswith("/" + name) for name in self.exempt)


def load_discovery(reader: Reader) -> DiscoveryRules:
    """Read discovery.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("discovery.toml", "registrar", "tree", "root", "exempt")
    rules = DiscoveryRules(
        registrars={row.id: row.backend for row in file.rows("registrar", _Registrar)},
        trees={row.id: row for row in file.rows("tree", TreeKind)},
        roots=file.rows("root", Root),
        exempt=tuple(row.id for row in file.rows("exempt", _Exempt)),
    )
    file.refer("root", "tree", "tree", rules.trees)
    return replace(rules, complete=file.complete("registrar", "tree", "root", "exempt"))
