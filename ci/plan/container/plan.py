"""What a plan says about its container: pure, from the catalog's rows and the gathered facts."""

from collections.abc import Iterable, Mapping

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.stages import Suite
from ci.errors import InfrastructureError
from ci.plan.container.guards import guards_of
from ci.plan.container.image_fact import require_image
from ci.plan.container.install import install_of, overriding
from ci.plan.container.needs import (
    ContainerPlace,
    ContainerWork,
    Need,
    environment_of,
    nofile_of,
    options_of,
)
from ci.plan.container.work import PreflightWork
from ci.plan.facts import DockerFacts, Facts
from ci.plan.request import Request

__all__ = [
    "container_notes",
    "container_place",
    "container_sources",
    "container_work",
    "docker_facts",
    "preflight_notes",
    "require_docker",
]


def docker_facts(facts: Facts) -> DockerFacts:
    """The facts of a container run.

    Raises:
        InfrastructureError: they were not gathered.
    """
    if facts.docker is None:
        raise InfrastructureError("no facts of a container were gathered", then="report this")
    return facts.docker


def require_docker(docker: DockerFacts, *, strict: bool) -> None:
    """Refuse what only a plan may be made of.

    Raises:
        InfrastructureError: this machine has no engine, or the image is unresolved, or stale and `strict`.
    """
    if docker.container.problem:
        raise InfrastructureError(
            f"the docker executor needs a Docker engine: {docker.container.problem}",
            cause="it is not running, or this user has no access to its socket",
            then="docker info; another engine: DOCKER_HOST=unix:///path/to.sock; without one: --executor host",
        )
    require_image(docker.image, strict=strict)


def container_work(
    catalog: Catalog, facts: Facts, docker: DockerFacts, need: Need, suites: Iterable[Suite]
) -> ContainerWork:
    """What decides a verdict, for the suites that the run has.

    Raises:
        UsageError: the dependencies of this flavour and checkout are invalid.
    """
    rehearsal = facts.hardware_class == CPU
    return ContainerWork(
        profile=need.profile.id,
        flavour=docker.flavour,
        options=options_of(need.profile),
        env=environment_of(catalog.containers, need.profile.id, docker.container.mounts),
        install=install_of(
            catalog.dependencies,
            flavour=docker.flavour,
            family="" if rehearsal else catalog.family_of(facts.hardware_class),
            checkout=docker.tree,
            overrides=facts.environ,
        ),
        guards=guards_of(catalog.guards, flavour=docker.flavour),
        preflights=() if rehearsal or facts.checkout is None else _preflights(catalog, suites),
    )


def _preflights(catalog: Catalog, suites: Iterable[Suite]) -> tuple[PreflightWork, ...]:
    """Each once, in the order of the suites that ask for it."""
    wanted = dict.fromkeys(suite.preflight for suite in suites if suite.preflight)
    rows = [catalog.preflights[name] for name in wanted]
    return tuple(
        PreflightWork(id=row.id, argv=row.argv, env=row.env, timeout_s=row.timeout_s) for row in rows
    )


def preflight_notes(facts: Facts, suites: Iterable[Suite], *, executor: str) -> tuple[str, ...]:
    """Preflights that a run on real hardware leaves out, with the reason."""
    if executor == "docker" and facts.checkout is not None:
        return ()
    why = (
        "it is a script of SGLang's tree, add --checkout PATH"
        if executor == "docker"
        else "the host executor runs none, run it by hand first"
    )
    return tuple(
        f"{suite.id}: its preflight {suite.preflight} is not run: {why}"
        for suite in suites
        if suite.preflight
    )


def container_place(docker: DockerFacts, need: Need, request: Request) -> ContainerPlace:
    """Where its parts come from on this machine."""
    found, image = docker.container, docker.image
    return ContainerPlace(
        docker=found.docker,
        image=image.reference,
        image_pinned=image.pinned,
        image_bytes=image.size_bytes,
        image_age_days=image.age_days,
        image_candidates=image.candidates,
        mirror=found.mirror,
        devices=tuple(device.path for device in found.devices),
        groups=tuple(sorted({device.gid for device in found.devices if device.gid is not None})),
        mounts=found.mounts,
        absent=found.absent,
        cache=found.cache,
        cache_free_bytes=found.cache_free_bytes,
        nofile=nofile_of(need.profile, found.nofile_max),
        keep=request.keep,
        strict=request.strict,
        exclusive_host=request.exclusive_host,
    )


def container_sources(
    catalog: Catalog, facts: Facts, docker: DockerFacts, need: Need, request: Request
) -> Mapping[str, str]:
    """Where each value came from, by dotted path."""
    named = overriding(catalog.dependencies, facts.environ)
    overrides = "".join(f"; {key} by {variable}" for key, variable in named.items())
    row = f"containers.toml: profile[{need.profile.id}]"
    return {
        "work.image": docker.image.source,
        "work.container.profile": f"{row}: {need.profile.why}",
        "work.container.flavour": docker.image.source,
        "work.container.options": row,
        "work.container.env": f"containers.toml: variables of {need.profile.id}",
        "work.container.install": f"dependencies.toml{overrides}",
        "work.container.preflights": "stages.toml: preflights of the suites, on real hardware",
        "work.container.guards": "guards.toml",
        "placement.container.docker": docker.container.docker_source,
        "placement.container.image": docker.image.source,
        "placement.container.mirror": docker.container.mirror_source,
        "placement.container.devices": docker.container.device_source,
        "placement.container.nofile": _nofile_source(docker, need, row),
        "placement.container.keep": "--keep" if request.keep else "default: removed after the run",
        "placement.container.strict": "--strict" if request.strict else "default: a stale image is a warning",
        "placement.container.exclusive_host": "--exclusive-host"
        if request.exclusive_host
        else "default: other users' containers stay",
    }


def container_notes(docker: DockerFacts) -> tuple[str, ...]:
    """Notes for the reader."""
    image, found = docker.image, docker.container
    notes = list(image.notes)
    if found.elsewhere:
        notes.append("the plan is for another machine: its devices, mounts and engine are found there")
    if found.problem:
        notes.append(f"a run would fail here: {found.problem}")
    if image.stale_note:
        notes.append(image.stale_note)
    if not image.config_digest:
        notes.append(f"image: unresolved: {image.problem}")
    notes += [f"not on this machine, so not in the container: {row}" for row in found.absent]
    return tuple(notes)


def _nofile_source(docker: DockerFacts, need: Need, row: str) -> str:
    most = docker.container.nofile_max
    if most is not None and nofile_of(need.profile, most) != need.profile.nofile:
        return f"{row} asks for {need.profile.nofile}, the engine grants {most}"
    return row
