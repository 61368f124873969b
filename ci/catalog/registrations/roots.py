"""Where registered tests lie: the rules in `discovery.toml`, and the walk over a tree by them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem, UsageError

__all__ = [
    "DiscoveryRules",
    "Root",
    "TreeKind",
    "is_sglang_tree",
    "load_discovery",
    "python_files",
    "require_sglang_tree",
]

_FILE = "discovery.toml"
_PATH = r"\w[\w.-]*(/\w[\w.-]*)*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A folder of a tree that holds registered tests, searched with all its subfolders."""

    id: str
    tree: str
    path: str
    glob: str
    required: bool
    must_register: bool
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKind:
    """A kind of tree and the paths that prove it; `older` proves the layout before it."""

    id: str
    title: str
    markers: tuple[str, ...]
    older: str
    older_why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRules:
    """`discovery.toml`: backend by registrar, kinds of tree, roots, and files that need no registration."""

    registrars: Mapping[str, str]
    trees: Mapping[str, TreeKind]
    roots: tuple[Root, ...]
    exempt: tuple[str, ...]

    def is_exempt(self, file: str) -> bool:
        """Whether the file, a path with slashes, needs no registration."""
        return any(file == name or file.endswith("/" + name) for name in self.exempt)


def load_discovery(problems: list[Problem], folder: Path = Path(__file__).parents[1]) -> DiscoveryRules:
    """Read and check `discovery.toml`; what is wrong is added to `problems`."""
    tables = Tables(folder / _FILE, problems, arrays=("registrar", "tree", "root", "exempt"))
    registrar_rows, tree_rows = tables.rows("registrar"), tables.rows("tree")
    root_rows, exempt_rows = tables.rows("root"), tables.rows("exempt")
    for rows in (registrar_rows, tree_rows, root_rows, exempt_rows):
        tables.unique(rows)
    trees = [_tree(row) for row in tree_rows]
    tree_ids = [tree.id for tree in trees]
    return DiscoveryRules(
        registrars=dict(_registrar(row) for row in registrar_rows),
        trees={tree.id: tree for tree in trees},
        roots=tuple(_root(row, tree_ids) for row in root_rows),
        exempt=tuple(_exempt(row) for row in exempt_rows),
    )


def _registrar(row: Row) -> tuple[str, str]:
    name, backend = (
        row.text("id", matches=r"register_[a-z0-9]+_ci"),
        row.text("backend", matches=r"[a-z0-9]+"),
    )
    row.text("source")
    row.done()
    return name, backend


def _tree(row: Row) -> TreeKind:
    tree = TreeKind(
        id=row.text("id", matches=r"[a-z0-9-]+"),
        title=row.text("title"),
        markers=row.texts("markers"),
        older=row.text("older", ""),
        older_why=row.text("older_why", ""),
    )
    row.done()
    return tree


def _root(row: Row, tree_ids: list[str]) -> Root:
    root = Root(
        id=row.text("id", matches=r"[a-z0-9-]+"),
        tree=row.text("tree", among=tree_ids),
        path=row.text("path", matches=_PATH),
        glob=row.text("glob"),
        required=row.flag("required"),
        must_register=row.flag("must_register"),
        why=row.text("why"),
        source=row.text("source"),
    )
    row.done()
    return root


def _exempt(row: Row) -> str:
    name = row.text("id", matches=_PATH)
    row.text("why")
    row.text("source")
    row.done()
    return name


def is_sglang_tree(path: Path, rules: DiscoveryRules) -> bool:
    """Whether `path` is an SGLang checkout whose tests are registered."""
    return all((path / marker).exists() for marker in rules.trees["sglang"].markers)


def require_sglang_tree(path: Path, rules: DiscoveryRules) -> None:
    """Check that `path` is an SGLang checkout whose tests are registered.

    Raises:
        UsageError: it is not; the message says what was looked for.
    """
    if is_sglang_tree(path, rules):
        return
    kind = rules.trees["sglang"]
    problems = [
        Problem(where=str(path / marker), what="is not there")
        for marker in kind.markers
        if not (path / marker).exists()
    ]
    if not path.is_dir():
        cause = "there is no such folder" if not path.exists() else "it is not a folder"
    elif kind.older and (path / kind.older).exists():
        cause = f"it is a tree of {kind.older_why}"
    else:
        cause = "the path names another project, or a folder within the checkout"
    raise UsageError(
        f"{path} is not {kind.title} with registered tests",
        problems=problems,
        cause=cause,
        then="name the top folder of a checkout from after that move: --checkout PATH",
    )


def python_files(tree: Path, root: Root) -> tuple[list[str], list[Problem]]:
    """Files of a root as sorted paths relative to `tree`, with slashes, and what is wrong with the folders.

    Hidden names and `__pycache__` are left out. A link to a folder within the root is left out as well, since the
    folder itself is walked; a link to a folder elsewhere is a problem. So no loop can occur.
    """
    start = tree / root.path
    if not start.is_dir():
        if not root.required:
            return [], []
        return [], [Problem(where=root.path, what="the folder is missing", hint=f"looked for {start}")]
    real_start = start.resolve()
    files: list[str] = []
    problems: list[Problem] = []
    pending = [root.path]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(tree / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem(where=folder, what=f"the folder can't be read: {error.strerror}"))
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            path = f"{folder}/{entry.name}"
            kind = _kind_of(entry)
            if kind != "folder" and not fnmatchcase(entry.name, root.glob):
                continue
            if not entry.name.isprintable():
                what = "the name holds bytes that are not text"
                problems.append(Problem(where=ascii(path), what=what, hint="rename it"))
            elif kind == "file":
                files.append(path)
            elif kind == "other":
                what = "is not a regular file" + (", the link leads nowhere" if entry.is_symlink() else "")
                problems.append(Problem(where=path, what=what, hint="remove it"))
            elif not entry.is_symlink():
                pending.append(path)
            elif not Path(entry.path).resolve().is_relative_to(real_start):
                what = f"the link leads out of {root.path} and is not followed"
                problems.append(Problem(where=path, what=what, hint="keep the files themselves there"))
    return sorted(files), problems


def _kind_of(entry: os.DirEntry[str]) -> Literal["file", "folder", "other"]:
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else "other"
    except OSError:  # a link to itself
        return "other"
