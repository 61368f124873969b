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

from ci.catalog.catalog import load_catalog
from ci.errors import CiError
from ci.system import clock
from ci.system.environ import read_environ


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
    from ci.facts.doctor import examine  # noqa: PLC0415
    from ci.report.views.doctor import show_findings  # noqa: PLC0415  # `inv --list` needs no rich

    environ = read_environ()
    show_findings(environ, examine(load_catalog(), environ))


@task
@_exits
def sweep(_c: Context) -> None:
    """End what killed runs have left behind, containers too; a run that still lives is not touched."""
    from ci.cli.containers import sweep_verb  # noqa: PLC0415
    from ci.execute.process_sweep import sweep_dead  # noqa: PLC0415
    from ci.facts.gather import runs_dir  # noqa: PLC0415
    from ci.report.views.doctor import show_swept  # noqa: PLC0415

    environ = read_environ()
    show_swept(environ, sweep_dead(runs_dir(environ) / ".live", wait=clock.sleep_s))
    sweep_verb(environ)


@task(help={"keep": "how many of the newest run folders stay", "dry": "only say what would be removed"})
@_exits
def prune(_c: Context, keep: int = 20, *, dry: bool = False) -> None:
    """Remove old run folders."""
    from ci.execute.run_folder import prune_folders  # noqa: PLC0415
    from ci.facts.gather import runs_dir  # noqa: PLC0415
    from ci.report.views.doctor import show_pruned  # noqa: PLC0415

    environ = read_environ()
    show_pruned(environ, prune_folders(runs_dir(environ), keep=keep, dry=dry), dry=dry)


_IMAGE_HELP = {
    "family": "mi30x or mi35x; not said: this machine's",
    "flavour": "rocm700, rocm720 or rocm724; not said: the catalog's default",
    "rocm": "the same as 700, 720 or 724",
    "image": "REF, or sha256:ID of the local store, instead of the newest",
    "strict": "a stale image ends with exit 4",
    "json": "machine-readable standard output",
}


@task(help=_IMAGE_HELP)
@_exits
def resolve(
    _c: Context,
    family: str = "",
    flavour: str = "",
    rocm: str = "",
    image: str = "",
    *,
    strict: bool = False,
    json: bool = False,
) -> None:
    """Show which image a run would use, its digests, and why no other tag was taken."""
    from ci.cli.images import ImageOptions, resolve_verb  # noqa: PLC0415

    options = ImageOptions(family=family, flavour=flavour, rocm=rocm, image=image, strict=strict, json=json)
    resolve_verb(read_environ(), options)


@task(help=_IMAGE_HELP)
@_exits
def pull(
    _c: Context,
    family: str = "",
    flavour: str = "",
    rocm: str = "",
    image: str = "",
    *,
    strict: bool = False,
    json: bool = False,
) -> None:
    """Have the image in the local store: from there, the mirror or the public registry, checked by digest."""
    from ci.cli.images import ImageOptions, pull_verb  # noqa: PLC0415

    options = ImageOptions(family=family, flavour=flavour, rocm=rocm, image=image, strict=strict, json=json)
    pull_verb(read_environ(), options)


@task(help={**_IMAGE_HELP, "to": "HOST:PORT; not said: the mirror of this machine's runner pool"})
@_exits
def mirror(
    _c: Context,
    family: str = "",
    flavour: str = "",
    rocm: str = "",
    image: str = "",
    to: str = "",
    *,
    strict: bool = False,
    json: bool = False,
) -> None:
    """Copy the image to the mirror by digest, and verify what the mirror has then."""
    from ci.cli.images import ImageOptions, mirror_verb  # noqa: PLC0415

    options = ImageOptions(family=family, flavour=flavour, rocm=rocm, image=image, strict=strict, json=json)
    mirror_verb(read_environ(), options, to)


@task(
    help={
        "older": "only images older than so many days; not said: the catalog's row image.prune_days",
        "keep": "how many of the newest stay; not said: the catalog's row image.prune_keep",
        "dry": "only say what would be removed",
        "json": "machine-readable standard output",
    }
)
@_exits
def prune_local(
    _c: Context, older: str = "", keep: str = "", *, dry: bool = False, json: bool = False
) -> None:
    """Remove old local images of our repository, never one that a container uses."""
    from ci.cli.images import prune_verb  # noqa: PLC0415

    prune_verb(read_environ(), older=older, keep=keep, dry=dry, json=json)


@task(
    help={
        "rehearsal": "an image to rehearse stages in, without a GPU",
        "base": "REF of what it is made from, with Python 3.10 or later; not said: the row of builds.toml",
        "checkout": "PATH of an SGLang tree, whose docker/rocm.Dockerfile is built",
        "rocm": "700, 720 or 724; not said: the catalog's default",
        "family": "mi30x or mi35x; not said: this machine's",
        "tag": "NAME:TAG of a rehearsal image",
        "json": "machine-readable standard output",
    }
)
@_exits
def build(
    _c: Context,
    base: str = "",
    checkout: str = "",
    rocm: str = "",
    family: str = "",
    tag: str = "",
    *,
    rehearsal: bool = False,
    json: bool = False,
) -> None:
    """Build a rehearsal image (--rehearsal), or SGLang's own with a checkout's commit in it (--checkout)."""
    from ci.cli.build import BuildOptions, build_verb  # noqa: PLC0415

    options = BuildOptions(
        rehearsal=rehearsal, base=base, checkout=checkout, rocm=rocm, family=family, tag=tag, json=json
    )
    build_verb(read_environ(), options)


_DEPS_HELP = {
    "checkout": "PATH of an SGLang tree; not said: the image's own SGLang stays",
    "container": "NAME of a container that runs",
    "image": "REF, whose tag says flavour and family",
    "family": "mi30x or mi35x",
    "rocm": "700, 720 or 724",
    "python": "the interpreter inside",
    "json": "machine-readable standard output",
}


@task(name="plan", help=_DEPS_HELP)
@_exits
def deps_plan(
    _c: Context,
    checkout: str = "",
    container: str = "",
    image: str = "",
    family: str = "",
    rocm: str = "",
    python: str = "python3",
    *,
    json: bool = False,
) -> None:
    """Show the steps of an installation with their reasons, and what happens to AITER."""
    from ci.cli.deps import DepsOptions, plan_verb  # noqa: PLC0415

    options = DepsOptions(
        checkout=checkout,
        container=container,
        image=image,
        family=family,
        rocm=rocm,
        python=python,
        json=json,
    )
    plan_verb(read_environ(), options)


@task(name="install", help={key: _DEPS_HELP[key] for key in ("container", "checkout", "rocm", "python")})
@_exits
def deps_install(
    _c: Context, container: str, checkout: str = "", rocm: str = "", python: str = "python3"
) -> None:
    """Install in a container that runs, guarded; --checkout is the tree whose copy the container has."""
    from ci.cli.deps import DepsOptions, install_verb  # noqa: PLC0415

    install_verb(
        read_environ(), DepsOptions(container=container, checkout=checkout, rocm=rocm, python=python)
    )


@task(name="check", help={key: _DEPS_HELP[key] for key in ("container", "rocm", "python", "json")})
@_exits
def deps_check(
    _c: Context, container: str, rocm: str = "", python: str = "python3", *, json: bool = False
) -> None:
    """Check a container's protected distributions, imports and requirements; exit 6 when something is wrong."""
    from ci.cli.deps import DepsOptions, check_verb  # noqa: PLC0415

    check_verb(read_environ(), DepsOptions(container=container, rocm=rocm, python=python, json=json))


@task(name="list", help={"json": "machine-readable standard output"})
@_exits
def container_list(_c: Context, *, json: bool = False) -> None:
    """Show this project's containers, and whose they are."""
    from ci.cli.containers import list_verb  # noqa: PLC0415

    list_verb(read_environ(), as_json=json)


@task(name="stop", help={"name": "as container.list shows it"})
@_exits
def container_stop(_c: Context, name: str) -> None:
    """End and remove one of this project's containers, kept or not."""
    from ci.cli.containers import stop_verb  # noqa: PLC0415

    stop_verb(read_environ(), name)


@task(name="prune", help={"kept": "also those that were kept with --keep, when their run is over"})
@_exits
def container_prune(_c: Context, *, kept: bool = False) -> None:
    """Remove containers that dead runs have left; a living run's is not touched."""
    from ci.cli.containers import prune_verb  # noqa: PLC0415

    prune_verb(read_environ(), kept=kept)


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
images = Collection("image", resolve, pull, mirror, build)
images.add_task(prune_local, name="prune")
namespace.add_collection(images)
namespace.add_collection(Collection("container", container_list, container_stop, container_prune))
namespace.add_collection(Collection("deps", deps_plan, deps_install, deps_check))
