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


@task(help={"checkout": "an SGLang tree: the jobs of its tests", "as_json": "machine-readable"})
@_exits
def parity(_c: Context, checkout: str = "", *, as_json: bool = False) -> None:
    """Compare every job in Actions with the same command on a machine with its hardware."""
    from ci.cli.parity import parity as compare  # noqa: PLC0415

    compare([*(["--checkout", checkout] if checkout else []), *(["--json"] if as_json else [])])


@task(
    help={
        "source": "run folder, plan.json, log or -, link of a job or run, job name, or a failing test's name",
        "run": "do it",
        "failed": "only the failed tests",
        "repeat": "until it fails, at most so often",
        "bisect": "GOOD..BAD: find the first commit on which it fails",
        "checkout": "SGLang's tree here",
        "api": "GitHub's API, e.g. https://HOST/api/v3",
        "digest": "which run of a log that holds several",
        "json": "machine-readable standard output",
    },
    auto_shortflags=False,
)
@_exits
def repro(
    _c: Context,
    source: str,
    *,
    run: bool = False,
    failed: bool = False,
    repeat: str = "",
    bisect: str = "",
    checkout: str = "",
    api: str = "",
    digest: str = "",
    json: bool = False,
) -> None:
    """Understand a red run and print, or with --run start, what repeats it."""
    from ci.cli.repro import repro as understand  # noqa: PLC0415  # `inv --list` needs no rich

    values = {"repeat": repeat, "bisect": bisect, "checkout": checkout, "api": api, "digest": digest}
    flags = {"run": run, "failed": failed, "json": json}
    code = understand(
        [
            *(f"--{name}" for name, given in flags.items() if given),
            *(f"--{name}={value}" for name, value in values.items() if value),
            source,
        ]
    )
    if code:
        raise Exit(code=code)


namespace = Collection(doctor, repro, parity)
namespace.add_collection(Collection("runs", sweep, prune))
