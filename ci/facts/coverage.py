"""Reading what the CUDA and AMD tests of a checkout use, for `ci/plan/coverage`."""

from collections.abc import Iterator
from pathlib import Path

from ci.catalog.discovery import DiscoveryRules
from ci.catalog.registrations.parse import discover
from ci.catalog.registrations.roots import require_sglang_tree
from ci.catalog.registrations.test_contents import Contents, read_contents
from ci.plan.coverage.make import TreeTests
from ci.plan.coverage.registered import AMD, CUDA, by_file
from ci.plan.coverage.score import HELPERS

__all__ = ["gather_coverage"]


def gather_coverage(tree: Path, rules: DiscoveryRules) -> TreeTests:
    """Every file that is registered for CUDA or AMD, with what it uses.

    Raises:
        UsageError: `tree` is not an SGLang tree.
    """
    require_sglang_tree(tree, rules)
    files = by_file(discover(tree, rules, layout="sglang", backends=(AMD, CUDA)).registrations)
    reader = _Reader(tree)
    contents = {one.file: found for one in files if (found := reader.read(one.file)) is not None}
    helpers = {file: tuple(reader.helpers_of(found)) for file, found in contents.items()}
    return TreeTests(
        root=str(tree),
        files=tuple(one for one in files if one.file in contents),
        contents=contents,
        helpers=helpers,
        unread=tuple(one.file for one in files if one.file not in contents),
    )


class _Reader:
    """Each file once: many tests share their helpers."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._read: dict[str, Contents | None] = {}

    def read(self, file: str) -> Contents | None:
        """None for a file that is not there or is not Python."""
        if file not in self._read:
            try:
                self._read[file] = read_contents((self._tree / file).read_bytes(), file)
            except OSError:
                self._read[file] = None
        return self._read[file]

    def helpers_of(self, contents: Contents) -> Iterator[Contents]:
        """The modules of `sglang.test` and the neighbouring files that a file imports."""
        folder = contents.file.rpartition("/")[0]
        for module in sorted(contents.imports):
            path = module.replace(".", "/")
            of_package = f"python/{path}.py" if module.startswith(HELPERS) else f"{folder}/{path}.py"
            found = self.read(of_package) if module else None
            if found is not None:
                yield found
