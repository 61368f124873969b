"""Which commit a tree is at, and whether it was changed since."""

import hashlib
from pathlib import Path

from ci.plan.facts import Known
from ci.system.process import Completed, capture

__all__ = ["commit_of", "git_reason"]


def commit_of(tree: Path) -> Known:
    """The commit of a tree; a changed one as `<sha>+dirty.<12 hex>`, the hex over all that differs from the commit.

    Unknown, with git's reason, when there is no repository or git refuses a tree that another user owns.
    """

    def git(*arguments: str) -> Completed:
        return capture(["git", "-C", str(tree), *arguments])

    head = git("rev-parse", "--verify", "HEAD^{commit}")
    if head.code != 0:
        return Known(value="", source=f"unknown, because {git_reason(head)}")
    top = git("rev-parse", "--show-toplevel")
    if top.code != 0 or Path(top.text).resolve() != tree.resolve():
        return Known(
            value="", source=f"unknown, because {tree} is not the top of its git repository ({top.text})"
        )
    status = git("status", "--porcelain", "-z", "--untracked-files=all")
    if status.code != 0:
        return Known(value="", source=f"unknown, because {git_reason(status)}")
    if not status.stdout:
        return Known(value=head.text, source=f"git, {tree}")
    digest = hashlib.sha256(git("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff").stdout)
    untracked = [entry[3:] for entry in status.stdout.split(b"\0") if entry.startswith(b"?? ")]
    for name in sorted(untracked):
        digest.update(b"\0" + name + b"\0" + _content(tree, name))
    changed = len([entry for entry in status.stdout.split(b"\0") if entry])
    source = f"git, {tree}, {changed} changed or untracked file{'s' if changed != 1 else ''}"
    return Known(value=f"{head.text}+dirty.{digest.hexdigest()[:12]}", source=source)


def _content(tree: Path, name: bytes) -> bytes:
    path = Path(str(tree)) / name.decode(errors="surrogateescape")
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        return str(error.errno).encode()


def git_reason(done: Completed) -> str:
    """Why git gave no answer."""
    if done.code is None:
        return done.why
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return "git says: " + (lines[0] if lines else f"exit {done.code}")
