"""The files of another commit of a checkout that its CI is read from, in a folder of their own."""

import contextlib
import io
import tarfile
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from ci.catalog.catalog import Catalog
from ci.errors import InfrastructureError, UsageError
from ci.facts.tree.checked import gather_checked
from ci.facts.tree.gather import SCRIPTS
from ci.facts.tree.registry import REGISTER_FILE, RUNNER_FILE, read_registry
from ci.facts.tree.workflows import WORKFLOWS
from ci.plan.outages.model import CheckedTree
from ci.plan.tree.follow import discovery_of_tree
from ci.system.process import capture

__all__ = ["gather_at"]

_GIT_S: Final = 120.0
_TESTS: Final = "test/registered"


def gather_at(catalog: Catalog, checkout: str, commit: str) -> CheckedTree:
    """What findings about a checkout are made from, at another commit of it; the checkout itself is not touched.

    Raises:
        InfrastructureError: git cannot read it.
        UsageError: no tests were registered then, or it is no git repository.
    """
    repository = Path(checkout).expanduser().absolute()
    with tempfile.TemporaryDirectory(prefix="sglang-amd-ci-base-") as folder:
        root = Path(folder)
        _extract(repository, commit, (REGISTER_FILE, RUNNER_FILE, WORKFLOWS, *SCRIPTS), root)
        rules = discovery_of_tree(catalog.discovery, read_registry(root, []))
        folders = {root.path for root in rules.roots if root.tree == "sglang"}
        _extract(repository, commit, {_TESTS, *folders}, root)
        if not (root / _TESTS).is_dir():
            raise UsageError(
                f"{commit} has no {_TESTS}",
                cause="it is from before tests were registered",
                then="name a later commit with --base",
            )
        found = gather_checked(catalog, str(root), whole=True)
    every = _git(repository, "ls-tree", "-r", "--name-only", "-z", commit)
    names = (name.decode(errors="surrogateescape") for name in every.split(b"\0"))
    return replace(found, files=frozenset(name for name in names if name.endswith(".py")))


def _extract(repository: Path, commit: str, paths: Collection[str], folder: Path) -> None:
    """Write those of the paths that the commit has."""
    listed = _git(repository, "ls-tree", "--name-only", "-z", commit, "--", *paths)
    known = [name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name]
    if not known:
        return
    archive = _git(repository, "archive", "--format=tar", commit, "--", *known)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            # git refuses names that lead out of a tree; links are not followed
            if member.isfile() and (content := tar.extractfile(member)) is not None:
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.closing(content):
                    path.write_bytes(content.read())


def _git(repository: Path, *arguments: str) -> bytes:
    done = capture(["git", "-C", str(repository), *arguments], timeout_s=_GIT_S)
    if done.code != 0:
        reason = done.why or done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise InfrastructureError(
            f"git cannot read {repository}", cause=reason, then=f"git -C {repository} {arguments[0]} --help"
        )
    return done.stdout
