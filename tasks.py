"""Operators' verbs: what looks at or changes this machine. What computes, checks or runs a stage is a Nox session.

`inv --list` lists them, `inv --help VERB` explains one.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from ci import clock, environ
from ci.catalog.load import load_catalog
from ci.errors import CiError


def _exits(verb: Callable[..., None]) -> Callable[..., None]:
    """A refusal of ours ends the verb with its message and exit code."""

    @wraps(verb)
    def wrapped(*arguments: Any, **keywords: Any) -> None:
        try:
            verb(*arguments, **keywords)
        except CiError as error:
            raise Exit(error.render(), code=int(error.exit_code)) from None

    return wrapped


@task
@_exits
def doctor(_c: Context) -> None:
    """Show what this machine can run: hardware, engines, commit, disk."""
    from ci.report.doctor_view import show_findings  # noqa: PLC0415  # `inv --list` needs no rich
    from ci.run.doctor import examine  # noqa: PLC0415

    world = environ.read()
    show_findings(world, examine(load_catalog(), world))


@task
@_exits
def sweep(_c: Context) -> None:
    """End what killed runs have left behind; a run that still lives is not touched."""
    from ci.report.doctor_view import show_swept  # noqa: PLC0415
    from ci.run.gather import runs_dir  # noqa: PLC0415
    from ci.run.sweep import sweep_dead  # noqa: PLC0415

    world = environ.read()
    passes = int(load_catalog().limits["agent.sweep_passes"])
    show_swept(world, sweep_dead(runs_dir(world) / ".live", passes=passes, wait=clock.sleep_s))


@task(help={"keep": "how many of the newest run folders stay", "dry": "only say what would be removed"})
@_exits
def prune(_c: Context, keep: int = 20, *, dry: bool = False) -> None:
    """Remove old run folders."""
    from ci.report.doctor_view import show_pruned  # noqa: PLC0415
    from ci.run.folder import prune_folders  # noqa: PLC0415
    from ci.run.gather import runs_dir  # noqa: PLC0415

    world = environ.read()
    show_pruned(world, prune_folders(runs_dir(world), keep=keep, dry=dry), dry=dry)


namespace = Collection(doctor)
namespace.add_collection(Collection("runs", sweep, prune))
