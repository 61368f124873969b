"""The walk over a tree by the rules of `discovery.toml`: which kind it is, and which files may register tests."""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ci.catalog.discovery import DiscoveryRules, Root
from ci.errors import Problem, UsageError

__all__ = ["is_sglang_tree", "python_files", "require_sglang_tree"]


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
        Problem(where=str(path / marker), what="does not exist")
        for marker in kind.markers
        if not (path / marker).exists()
    ]
    if not path.is_dir():
        cause = "no such folder" if not path.exists() else "it is not a folder"
    elif kind.older and (path / kind.older).exists():
        cause = f"it is a tree of {kind.older_why}"
    else:
        cause = "the path names another project, or a folder within the checkout, whose top folder is needed"
    raise UsageError(
        f"{path} is not {kind.title} with registered tests",
        problems=problems,
        cause=cause,
        then="git clone https://github.com/sgl-project/sglang",
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
            problems.append(Problem(where=folder, what=f"the folder cannot be read: {error.strerror}"))
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
                what = "is not a regular file" + (", the link is broken" if entry.is_symlink() else "")
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
