"""The deps verbs: what would be installed in a container, installing it, and whether what is there is right."""

import signal
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.verb_options import DepsOptions
from ci.docker.client import EngineError, connect, docker_host, faults
from ci.docker.container import Container, adopt
from ci.errors import GuardError, InfrastructureError, Problem, UsageError
from ci.facts.dockerfile import look_at_checkout
from ci.facts.git import commit_of
from ci.install.guards import PROBE_TIMEOUT_S, fingerprint, probe
from ci.install.install import Installation, look_inside, read_state
from ci.plan.container.aiter import AiterFact
from ci.plan.container.guards import compare, guards_of, violation
from ci.plan.container.image import parse_reference, tag_part
from ci.plan.container.inside import InsideFacts, question
from ci.plan.container.install import InstallSteps, install_of, steps
from ci.record.phases import Phases
from ci.report.views.deps import show_checked, show_event, show_steps

__all__ = ["check_verb", "install_verb", "plan_verb"]


def plan_verb(environ: Mapping[str, str], options: DepsOptions) -> None:
    """Show the steps with their reasons; with a container they are final, without one what it has is not known."""
    catalog = load_catalog()
    install = _install(catalog, environ, options)
    notes: tuple[str, ...] = ()
    if options.container:
        inside = _look(catalog, environ, options)
    else:
        if not install["flavour"]:
            raise UsageError(
                "which image? Its flavour decides which steps there are",
                then="./inv deps.plan --rocm 720, --image REF, or --container NAME",
            )
        inside = _unknown(catalog, options.python)
        notes = (
            f"for {install['stage'] or install['flavour']}; another: --family and --rocm",
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
    stopped = threading.Event()
    container, image = _attach(catalog, environ, options, stopped)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopped.set())
    guards = guards_of(catalog.guards, flavour=_flavour_inside(catalog, install, container, options))
    logs = Path(tempfile.mkdtemp(prefix="amd-ci-deps-")) / "logs"
    logs.mkdir()
    show_event(environ, {"type": "note", "text": f"logs: {logs.parent}"})
    Installation(
        shell=container,
        python=options.python,
        rows=catalog.dependencies,
        install=install,
        guards=guards,
        image=image,
        environ=environ,
        limits=catalog.limits.deps,
        phases=Phases(lambda event: show_event(environ, event), logs),
        stopped=stopped.is_set,
    ).run()


def check_verb(environ: Mapping[str, str], options: DepsOptions) -> None:
    """Look at what is installed: fingerprints, imports, and requirements among the protected distributions.

    Raises:
        GuardError: something is not as it has to be.
    """
    catalog = load_catalog()
    install = _install(catalog, environ, options)
    container, image = _attach(catalog, environ, options, threading.Event())
    guards = guards_of(catalog.guards, flavour=_flavour_inside(catalog, install, container, options))
    now = fingerprint(container, options.python, guards)
    state = read_state(container)
    known = state is not None and state.image == image
    if state is not None and known:
        changes = compare(state.fingerprints, now, state.under_way)
        if changes:
            raise violation(changes, step="something after the installation", then="take a fresh container")
    lines = probe(container, options.python, guards, now)
    unmet = _unmet(container, options.python, {row.distribution for row in now if row.version})
    show_checked(environ, now, [*lines, *unmet], compared=known, as_json=options.json)


def _unmet(container: Container, python: str, protected: set[str]) -> list[str]:
    """Requirements that are not met: a violation when a protected distribution is in it, else a line.

    Raises:
        GuardError: a protected distribution lacks something or is not what another needs.
    """
    done = container.run([python, "-m", "pip", "check"], timeout_s=PROBE_TIMEOUT_S)
    if done.code is None:
        raise InfrastructureError(f"pip check did not end: {done.why}", then="./inv container.list")
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    if done.code == 0:
        return []
    if not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return [f"requirements were not checked: {said[-1] if said else f'pip ended with {done.code}'}"]
    broken = [line for line in lines if protected & set(line.lower().replace(",", " ").split())]
    if broken:
        raise GuardError(
            f"{len(broken)} requirements of or on protected distributions are not met",
            cause="a package was installed over the one that the image was built with",
            then="./inv deps.plan --container NAME shows what installs them",
            problems=[Problem(where="pip check", what=line) for line in broken],
        )
    return [f"not met: {line}" for line in lines]


def _install(catalog: Catalog, environ: Mapping[str, str], options: DepsOptions) -> dict[str, Any]:
    flavour, family = (f"rocm{options.rocm.removeprefix('rocm')}" if options.rocm else ""), options.family
    if options.image:
        tag = parse_reference(options.image).tag
        flavour = flavour or tag_part(catalog.images, tag, "flavour")
        family = family or tag_part(catalog.images, tag, "family")
    checkout = None
    if options.checkout:
        tree = Path(options.checkout).resolve()
        if not tree.is_dir():
            raise UsageError(f"--checkout {options.checkout} is no folder", then="ls")
        commit = commit_of(tree)
        checkout = look_at_checkout(catalog.dependencies, tree, commit)
    targets = catalog.dependencies.targets
    if family and family not in targets:
        raise UsageError(f"there is no family {family!r}", cause=f"known: {', '.join(targets)}")
    return install_of(
        catalog.dependencies,
        flavour=flavour,
        # a container's stamp says which family it is for
        family=family or ("" if options.container else next(iter(targets))),
        checkout=checkout,
        overrides=environ,
    )


def _attach(
    catalog: Catalog, environ: Mapping[str, str], options: DepsOptions, stopped: threading.Event
) -> tuple[Container, str]:
    """A running container with our programs in it, and its image's id.

    Raises:
        UsageError: none was named, or there is none of that name that runs.
    """
    if not options.container:
        raise UsageError("which container?", then="./inv container.list; then --container NAME")
    client = connect(docker_host(environ)[0])
    try:
        with faults():
            found = client.api.inspect_container(options.container)
    except EngineError as error:
        raise UsageError(
            f"there is no container {options.container}: {error.text}",
            cause="it has ended, or runs under another engine",
            then="docker ps",
        ) from error
    if not found["State"]["Running"]:
        raise UsageError(f"the container {options.container} does not run", then="docker ps -a")
    name = found["Name"].lstrip("/")
    container = adopt(
        client,
        found["Id"],
        name=name,
        python=options.python,
        paused_s=catalog.limits.container.paused_s,
        stopped=stopped.is_set,
    )
    return container, str(found["Image"])


def _look(catalog: Catalog, environ: Mapping[str, str], options: DepsOptions) -> InsideFacts:
    container, _ = _attach(catalog, environ, options, threading.Event())
    return look_inside(container, options.python, catalog.dependencies)


def _flavour_inside(
    catalog: Catalog, install: Mapping[str, Any], container: Container, options: DepsOptions
) -> str:
    """The flavour that decides which imports are required."""
    inside = look_inside(container, options.python, catalog.dependencies)
    made: InstallSteps = steps(catalog.dependencies, install, inside, limits=catalog.limits.deps)
    return made.flavour


def _unknown(catalog: Catalog, python: str) -> InsideFacts:
    """A container of which nothing is known has every folder and no AITER."""
    return InsideFacts(
        python=python,
        python_version="",
        torch="",
        hip="",
        torch_lib="TORCH/lib",
        stamp="",
        variables={},
        programs={},
        dirs=frozenset(question(catalog.dependencies)["dirs"]),
        aiter=AiterFact(version="", head="", installed="", modified=False),
    )
