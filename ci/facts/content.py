"""What is on disk: the files of the tree under test, of this repository's tools, and of installed packages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.plan.content import TreeContent
from ci.system.file_digests import FileDigests, digest_of_files
from ci.system.file_lock import cache_dir
from ci.system.process import capture

__all__ = ["file_digests", "package_digests", "packages_of", "tree_content"]

# What runs the tests, beside the engine.
_PYTEST: Final = ("pytest", "_pytest", "pluggy")

# `test` and `python` are on the tests' path whole: a hidden folder there takes the place of any package.
_TREE: Final = ("test", "python")
_TOOLS: Final = ("ci", "envs", "test/harness")

_QUESTION: Final = """
import importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    if spec is not None:
        found[name] = list(spec.submodule_search_locations or [spec.origin])
print(json.dumps(found))
"""


def file_digests(environ: Mapping[str, str]) -> FileDigests:
    """The digests that are kept in this user's cache."""
    return FileDigests(cache_dir(environ) / "digests")


def tree_content(root: Path, repository: Path, *, fixed: Iterable[str], digests: FileDigests) -> TreeContent:
    """The tests of a tree, with what Python would import in their place; `fixed` are the catalog's own files there."""
    packages = sorted(path.parent.name for path in root.glob("*/__init__.py"))
    beside = sorted({str(Path(file).parent) for file in fixed})
    folders = dict.fromkeys([*_TREE, *packages, *(name for name in beside if not name.startswith(_TREE))])
    tests = {name: digests.of_folder(root / name) for name in folders}
    # a conftest.py at the top is pytest's, and a module there goes before an installed one
    tests["."] = digests.of_modules(root)
    tools = {name: digests.of_folder(repository / name) for name in _TOOLS}
    return TreeContent(tests=digest_of_files(tests), tools=digest_of_files(tools))


def packages_of(catalog: Catalog, engine: Engine, *, rehearsal: bool) -> tuple[str, ...]:
    """The packages in the engine's interpreter that decide a verdict."""
    weights = {row.package for row in catalog.stand_ins.values()}
    more = sorted(weights) if rehearsal else engine.kernels_from
    return (engine.package, *engine.also, *more, *_PYTEST)


def package_digests(
    python: Path,
    names: Sequence[str],
    *,
    environ: Mapping[str, str],
    digests: FileDigests,
    built_in: Iterable[str] = (),
) -> Mapping[str, str]:
    """The packages that an interpreter has of these, with the shared objects that a wheel puts beside one.

    `built_in`: `package/folder`, in which a package builds something while it runs.
    """
    skip = {
        name: frozenset(
            folder.removeprefix(f"{name}/") for folder in built_in if folder.startswith(f"{name}/")
        )
        for name in names
    }
    done = capture([str(python), "-c", _QUESTION, *names], cwd=Path("/"), env=environ)
    try:
        found = json.loads(done.text.splitlines()[-1]) if done.code == 0 else {}
    except (ValueError, IndexError):
        found = {}
    return {
        name: _digest([Path(folder) for folder in found[name]], digests, skip[name])
        for name in names
        if isinstance(found, dict) and isinstance(found.get(name), list)
    }


def _digest(folders: Sequence[Path], digests: FileDigests, skip: frozenset[str]) -> str:
    files = {}
    for number, folder in enumerate(folders):
        files[str(number)] = digests.of_folder(folder, skip=skip)
        if (beside := folder.with_name(f"{folder.name}.libs")).is_dir():
            files[f"{number}.libs"] = digests.of_folder(beside)
    return digest_of_files(files)
