"""What has changed in a tree since a base: asked of git, with each file's registrations and rows before and after."""

from collections.abc import Mapping
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery, parse
from ci.facts.git import git_reason
from ci.plan.jobs import ChangedFile, Changes, changed_rows, fits
from ci.system.process import Completed, capture

__all__ = ["changes_since"]


class _Git:
    """One tree's repository; every question ends within seconds."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def ask(self, *arguments: str) -> Completed:
        return capture(["git", "-C", str(self._tree), *arguments])

    def content(self, commit: str, path: str) -> bytes | None:
        """A file as it was in a commit; None when it was not there."""
        done = self.ask("cat-file", "blob", f"{commit}:{path}")
        return done.stdout if done.code == 0 else None


def changes_since(
    tree: Path, base: str, base_source: str, *, kind: str, catalog: Catalog, tests: Discovery
) -> Changes:
    """The files that differ between HEAD and where it left `base`, both names of a renamed one.

    Args:
        tree: top folder of a repository.
        base: a commit, branch or tag; empty when there is none.
        base_source: where it comes from, for messages.
        kind: whose rules hold, `own` or `sglang`.
        catalog: for its rules and models.
        tests: the tree's registered tests.
    """

    def unknown(why: str) -> Changes:
        return Changes(tree=kind, base=base, files=(), unknown=why)

    git = _Git(tree)
    if not base:
        return unknown(f"no commit to compare with: {base_source}")
    start = git.ask("merge-base", "--end-of-options", base, "HEAD")
    if start.code != 0:
        return unknown(f"{base} ({base_source}) cannot be compared with: {git_reason(start)}")
    listed = git.ask("diff", "--name-status", "--no-renames", "-z", start.text, "HEAD", "--")
    if listed.code != 0:
        return unknown(f"git cannot list what has changed since {base}: {git_reason(listed)}")
    words = listed.stdout.split(b"\0")[:-1]
    files = [
        _file(
            git,
            path.decode(errors="surrogateescape"),
            deleted=status == b"D",
            base=start.text,
            kind=kind,
            catalog=catalog,
        )
        for status, path in zip(words[::2], words[1::2], strict=True)
    ]
    dirty = git.ask("status", "--porcelain", "-z", "--no-renames").stdout.split(b"\0")[:-1]
    rows_changed = any(file.path == "ci/catalog/models.toml" for file in files)
    return Changes(
        tree=kind,
        base=start.text,
        files=tuple(sorted(files, key=lambda file: file.path)),
        uncommitted=len(dirty),
        model_users=_model_users(tree, catalog, tests) if rows_changed else {},
    )


def _file(git: _Git, path: str, *, deleted: bool, base: str, kind: str, catalog: Catalog) -> ChangedFile:
    rules = [
        rule for rule in catalog.changes.of_tree(kind) if any(fits(pattern, path) for pattern in rule.paths)
    ]
    wanted = {rule.selects for rule in rules}
    registered = False
    if "registered" in wanted and path.endswith(".py"):
        source = git.content(base if deleted else "HEAD", path) or b""
        parsed = parse(source, path, catalog.discovery, ours=kind == "own")
        registered = bool(parsed.registrations) and not parsed.problems
    if "rows" not in wanted:
        return ChangedFile(path=path, deleted=deleted, registered=registered)
    try:
        before, after = ((git.content(commit, path) or b"").decode() for commit in (base, "HEAD"))
        rows = changed_rows(before, after)
    except ValueError as error:
        return ChangedFile(path=path, deleted=deleted, rows_problem=str(error))
    return ChangedFile(path=path, deleted=deleted, rows=rows)


def _model_users(tree: Path, catalog: Catalog, tests: Discovery) -> Mapping[str, tuple[str, ...]]:
    """Tests that name a model, in their own file or in a module of `harness.suites` that they import."""
    texts: dict[str, str] = {}
    for file in sorted({row.file for row in tests.registrations}):
        shared = tests.requirements[file].shared if file in tests.requirements else ()
        names = [file, *(f"test/harness/suites/{name}.py" for name in shared)]
        texts[file] = "\n".join(_text(tree / name) for name in names)
    return {
        model: tuple(file for file, text in texts.items() if f'"{model}"' in text) for model in catalog.models
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
