"""What findings about a checkout are made from: its facts, registrations of every backend, and those elsewhere."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.discovery import DiscoveryRules
from ci.catalog.registrations.parse import Registration, parse
from ci.errors import Problem
from ci.facts.tree.bounds import read_bounds
from ci.facts.tree.kept import discover_kept, read_checkout
from ci.plan.outages.model import CheckedTree

__all__ = ["gather_checked"]

_AMD: Final = "amd"
_CASE: Final = re.compile(rb"^[ \t]*(?:async )?def (test\w*)", re.MULTILINE)
_NOT_PYTHON: Final = "is not Python"
# folders of others' code, and of what a build leaves
_SKIPPED: Final = frozenset(
    {"3rdparty", "third_party", "node_modules", "__pycache__", "build", "dist", "venv"}
)


def gather_checked(
    catalog: Catalog, checkout: str, cache: Path | None = None, *, whole: bool = False
) -> CheckedTree:
    """Read a checkout, with a `cache` only what has changed; `whole` for what a comparison takes too: bounds of AMD's tests, and the cases of each file.

    Raises:
        UsageError: it is not SGLang's.
    """
    root, facts, rules = read_checkout(catalog, checkout, cache)
    tests = discover_kept(root, rules, cache)
    ours = re.compile(
        "|".join(rf"{name}\b" for name, backend in rules.registrars.items() if backend == _AMD).encode()
        or b"(?!)"
    )
    # a file of the roots is parsed only where it names a registrar
    amd = {file for file in tests.kinds if ours.search((root / file).read_bytes())}
    exempt = [row for row in tests.registrations if rules.is_exempt(row.file)]
    files = frozenset(_python_files(root))
    outside = [
        row for file in sorted(files - set(tests.kinds)) for row in _registrations(root, file, rules, ours)
    ]
    return CheckedTree(
        facts=facts,
        registered=tuple(row for row in tests.registrations if not rules.is_exempt(row.file)),
        outside=tuple(row for row in (*exempt, *outside) if row.backend == _AMD),
        problems=tuple(each for each in tests.problems if _is_ours(each, amd, set(tests.kinds))),
        suites=frozenset(suite.name for suite in catalog.suites),
        files=files,
        bounds=tuple(bound for file in sorted(amd) for bound in read_bounds((root / file).read_bytes(), file))
        if whole
        else (),
        cases={file: cases for file in files if (cases := _cases(root / file))} if whole else {},
    )


def _is_ours(problem: Problem, amd: set[str], parsed: set[str]) -> bool:
    """Whether it stops AMD's jobs: that of a file which registers only for others does not, if it is Python."""
    file = problem.where.rpartition(":")[0]
    return file in amd or file not in parsed or problem.what.startswith(_NOT_PYTHON)


def _python_files(root: Path) -> Iterator[str]:
    """Every Python file of a tree, as a path with slashes; links to folders are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        yield from (
            (Path(folder) / name).relative_to(root).as_posix() for name in names if name.endswith(".py")
        )


def _cases(path: Path) -> frozenset[str]:
    """The names of a test file's functions."""
    if not path.name.startswith("test"):
        return frozenset()
    try:
        return frozenset(name.decode() for name in _CASE.findall(path.read_bytes()))
    except OSError:
        return frozenset()


def _registrations(
    root: Path, file: str, rules: DiscoveryRules, wanted: re.Pattern[bytes]
) -> tuple[Registration, ...]:
    try:
        source = (root / file).read_bytes()
    except OSError:
        return ()
    return parse(source, file, rules).registrations if wanted.search(source) else ()
