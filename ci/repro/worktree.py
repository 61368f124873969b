"""Work trees of our own: another commit beside the user's tree, which is never touched."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from ci.errors import InfrastructureError, UsageError, writing
from ci.system.clock import new_token
from ci.system.file_lock import FileLock, wait_for_release
from ci.system.process import capture

__all__ = ["resolve_commit", "stop_after_owner", "sweep_trees", "work_tree"]

_FOLDER = ".trees"
_LOCK = "lock"
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
    """A tree at a commit, removed at the end; a lock beside it shows that its owner is running.

    Raises:
        InfrastructureError: git cannot make it.
    """
    place = runs / _FOLDER / new_token()
    tree = place / "tree"
    lock = FileLock()
    lock.take(place / _LOCK)
    try:
        _note_owner(place, repository)
        argv = ["git", "-C", str(repository), "worktree", "add", "--quiet", "--detach", str(tree), commit]
        done = capture(argv, timeout_s=GIT_S)
        if done.code != 0:
            reason = done.why or done.stderr.decode(errors="replace").strip()
            raise InfrastructureError(
                f"git cannot make a work tree of {commit}",
                cause=reason,
                then=f"git -C {repository} status",
            )
        yield tree
    finally:
        _remove(place, repository)
        lock.release()


def _note_owner(place: Path, repository: Path) -> None:
    """Write down whose tree it is: after the lock was taken, so that a sweep meets no owner without one."""
    with writing(place):
        (place / "owner.json").write_text(json.dumps({"repository": str(repository)}))


def sweep_trees(runs: Path) -> tuple[Path, ...]:
    """Remove work trees whose owner was killed; returns them. Those of running owners are locked."""
    folder = runs / _FOLDER
    swept = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            owner = json.loads((place / "owner.json").read_text())
            repository = Path(owner["repository"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # one that is being made at this moment, or not one of ours
        lock = FileLock()
        if lock.take(place / _LOCK):
            left = (place / "owner.json").is_file()  # else its owner has just removed it
            _remove(place, repository)
            lock.release()
            swept += [place / "tree"] if left else []
    return tuple(swept)


def stop_after_owner(tree: Path) -> None:
    """Wait until the call that made a work tree is gone, then send ourselves SIGTERM. For a thread of its own."""
    wait_for_release(tree.parent / _LOCK)
    os.kill(os.getpid(), signal.SIGTERM)


def _remove(place: Path, repository: Path) -> None:
    tree = place / "tree"
    if tree.exists():
        argv = ["git", "-C", str(repository), "worktree", "remove", "--force", "--force", str(tree)]
        capture(argv, timeout_s=GIT_S)
    shutil.rmtree(place, ignore_errors=True)
    capture(["git", "-C", str(repository), "worktree", "prune"], timeout_s=GIT_S)
