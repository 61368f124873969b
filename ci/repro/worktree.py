"""Work trees of our own: another commit beside the user's tree, which is never touched."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from ci.errors import InfrastructureError, UsageError
from ci.system.clock import new_token
from ci.system.process import capture

__all__ = ["resolve_commit", "stop_after_owner", "sweep_trees", "work_tree"]

_FOLDER = ".trees"
# git makes or removes a work tree of SGLang in 3 s
GIT_S = 120.0


def resolve_commit(repository: Path, revision: str) -> str:
    """The full hash of a revision.

    Raises:
        UsageError: the repository does not have it.
    """
    argv = [
        "git",
        "-C",
        str(repository),
        "rev-parse",
        "--verify",
        "--end-of-options",
        f"{revision}^{{commit}}",
    ]
    done = capture(argv, timeout_s=GIT_S)
    if done.code != 0:
        raise UsageError(
            f"{repository} has no commit {revision!r}",
            cause="it was never fetched, or belongs to another repository",
            then=f"git -C {repository} fetch origin {revision}",
        )
    return done.text


@contextlib.contextmanager
def work_tree(repository: Path, commit: str, runs: Path) -> Iterator[Path]:
    """A tree at a commit, gone at the end; a lock beside it says that its owner lives.

    Raises:
        InfrastructureError: git can't make it.
    """
    place = runs / _FOLDER / new_token()
    tree = place / "tree"
    try:
        place.mkdir(parents=True)
        (place / "owner.json").write_text(json.dumps({"repository": str(repository)}))
        lock = (place / "lock").open("w")
    except OSError as error:
        raise InfrastructureError(f"{place} can't be made: {error.strerror}", then=f"df -h {runs}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            argv = ["git", "-C", str(repository), "worktree", "add", "--quiet", "--detach", str(tree), commit]
            done = capture(argv, timeout_s=GIT_S)
            if done.code != 0:
                reason = done.why or done.stderr.decode(errors="replace").strip()
                raise InfrastructureError(
                    f"git can't make a work tree of {commit}",
                    cause=reason,
                    then=f"git -C {repository} status",
                )
            yield tree
        finally:
            _remove(place, repository)


def sweep_trees(runs: Path) -> tuple[Path, ...]:
    """Remove work trees whose owner was killed; returns them. Those of living owners are locked."""
    folder = runs / _FOLDER
    swept = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            owner = json.loads((place / "owner.json").read_text())
            repository = Path(owner["repository"])
            lock = (place / "lock").open("r+")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # one that is being made at this moment, or nothing of ours
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            _remove(place, repository)
            swept.append(place / "tree")
    return tuple(swept)


def stop_after_owner(tree: Path) -> None:
    """Wait until the call that made a work tree is gone, then send ourselves SIGTERM. For a thread of its own."""
    with contextlib.suppress(OSError), (tree.parent / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    os.kill(os.getpid(), signal.SIGTERM)


def _remove(place: Path, repository: Path) -> None:
    tree = place / "tree"
    if tree.exists():
        argv = ["git", "-C", str(repository), "worktree", "remove", "--force", "--force", str(tree)]
        capture(argv, timeout_s=GIT_S)
    shutil.rmtree(place, ignore_errors=True)
    capture(["git", "-C", str(repository), "worktree", "prune"], timeout_s=GIT_S)
