"""The deps verbs: what would be installed in a container, installing it, and whether what is there is right."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.verb_options import DepsOptions
from ci.docker.container import Container
from ci.errors import UsageError
from ci.facts.dockerfile import look_at_checkout
from ci.facts.git import commit_of
from ci.install.install import Installation, look_inside
from ci.install.installed import attach, check_installed
from ci.plan.container.guards import guards_of
from ci.plan.container.image import parse_reference, tag_part
from ci.plan.container.inside import InsideFacts, unknown_inside
from ci.plan.container.install import install_of, steps
from ci.plan.container.work import GuardWork, InstallWork
from ci.record.events import Note
from ci.record.phases import Phases
from ci.report.views.deps import show_checked, show_event, show_steps
from ci.system.signals import stop_requested

__all__ = ["check_verb", "install_verb", "plan_verb"]


def plan_verb(environ: Mapping[str, str], options: DepsOptions) -> None:
    """Show the steps with their reasons; with a container they are final, without one what it has is not known."""
    catalog = load_catalog()
    install = _install(catalog, environ, options)
    notes: tuple[str, ...] = ()
    if options.container:
        container, _ = _attach(catalog, environ, options)
        inside = look_inside(container, options.python, catalog.dependencies)
    else:
        if not install.flavour:
            raise UsageError(
                "an image flavour is required: it decides the steps",
                then="./inv deps.plan --rocm 720, --image REF, or --container NAME",
            )
        inside = unknown_inside(catalog.dependencies, options.python)
        notes = (
            f"for {install.stage or install.flavour}; another: --family and --rocm",
            "no --container: its folders and its AITER are not known, so steps that depend on them are shown",
        )
    made = steps(catalog.dependencies, install, inside, limits=catalog.limits.deps)
    if not options.container and made.decision is not None:
        notes += (
            f"AITER is wanted at {made.decision.commit}; what the container has decides whether it is built",
        )
        made = replace(made, decision=None)
    show_steps(environ, made, notes, as_json=options.json)


def install_verb(environ: Mapping[str, str], options: DepsOptions) -> None:
    """Install in a container that runs.

    Raises:
        CiError: as ci.install.install.Installation.run.
    """
    catalog = load_catalog()
    install = _install(catalog, environ, options)
    stopped = stop_requested()
    container, image = _attach(catalog, environ, options, stopped)
    logs = Path(tempfile.mkdtemp(prefix="amd-ci-deps-")) / "logs"
    logs.mkdir()
    show_event(environ, Note(text=f"logs: {logs.parent}"))
    inside = look_inside(container, options.python, catalog.dependencies)
    Installation(
        shell=container,
        python=options.python,
        rows=catalog.dependencies,
        install=install,
        guards=_guards(catalog, install, inside),
        image=image,
        environ=environ,
        limits=catalog.limits.deps,
        phases=Phases(lambda event: show_event(environ, event), logs),
        stopped=stopped,
    ).run()


def check_verb(environ: Mapping[str, str], options: DepsOptions) -> None:
    """Look at what is installed: fingerprints, imports, and requirements among the protected distributions.

    Raises:
        GuardError: something is not as it has to be.
    """
    catalog = load_catalog()
    install = _install(catalog, environ, options)
    container, image = _attach(catalog, environ, options)
    inside = look_inside(container, options.python, catalog.dependencies)
    guards = _guards(catalog, install, inside)
    found = check_installed(container, options.python, guards, image=image)
    show_checked(environ, found, as_json=options.json)


def _install(catalog: Catalog, environ: Mapping[str, str], options: DepsOptions) -> InstallWork:
    """What is to be installed, by the image's flavour and family and the checkout's own pins."""
    flavour, family = (f"rocm{options.rocm.removeprefix('rocm')}" if options.rocm else ""), options.family
    if options.image:
        tag = parse_reference(options.image).tag
        flavour = flavour or tag_part(catalog.images, tag, "flavour")
        family = family or tag_part(catalog.images, tag, "family")
    checkout = None
    if options.checkout:
        tree = Path(options.checkout).resolve()
        if not tree.is_dir():
            raise UsageError(f"--checkout {options.checkout} is not a folder", then="ls")
        checkout = look_at_checkout(catalog.dependencies, tree, commit_of(tree))
    targets = catalog.dependencies.targets
    if family and family not in targets:
        raise UsageError(f"unknown family {family!r}", cause=f"known: {', '.join(targets)}")
    return install_of(
        catalog.dependencies,
        flavour=flavour,
        # a container's stamp says which family it is for
        family=family or ("" if options.container else next(iter(targets))),
        checkout=checkout,
        overrides=environ,
    )


def _attach(
    catalog: Catalog,
    environ: Mapping[str, str],
    options: DepsOptions,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Container, str]:
    paused_s = catalog.limits.container.paused_s
    return attach(options.container, environ, python=options.python, paused_s=paused_s, stopped=stopped)


def _guards(catalog: Catalog, install: InstallWork, inside: InsideFacts) -> GuardWork:
    """The guards of the flavour that the container's contents amount to, which decides the required imports."""
    flavour = steps(catalog.dependencies, install, inside, limits=catalog.limits.deps).flavour
    return guards_of(catalog.guards, flavour=flavour)
