"""Planning runs in a container: which container and image the suites need, and what a plan says about them."""

from collections.abc import Mapping, Sequence
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.containers import ContainerProfile
from ci.catalog.hardware import CPU
from ci.catalog.stages import Suite
from ci.errors import InfrastructureError, UsageError
from ci.plan.container.guards import guards_of
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import (
    ENGINE_LABEL,
    FLAVOUR_LABEL,
    PYTHON_LABEL,
    PYTHON_VERSION_LABEL,
    planned_image,
    require_image,
)
from ci.plan.container.install import install_of, overriding
from ci.plan.container.needs import (
    ContainerPlace,
    ContainerWork,
    environment_of,
    needs_of,
    nofile_of,
    one_need,
    options_of,
)
from ci.plan.container.work import PreflightWork
from ci.plan.environment import pass_through_names
from ci.plan.executor import ContainerNeed, Needs, Part, preflights_not_run
from ci.plan.facts import DockerFacts, Facts
from ci.plan.model import Plan, planned_again
from ci.plan.request import Request

__all__ = ["BRINGS_ENGINE", "ON_CLUSTER", "OPTIONS", "gpu_ids", "need", "need_again", "part", "require"]

OPTIONS: Final = ("--image", "--rocm", "--from-dockerfile", "--keep", "--strict", "--exclusive-host")
BRINGS_ENGINE: Final = True
ON_CLUSTER: Final = False


def gpu_ids(facts: Facts) -> tuple[str, ...]:
    """Numbers as the container sees them: from 0, as many as it has render nodes."""
    if facts.elsewhere:
        # its nodes are not here to be counted
        return facts.gpu_ids
    return tuple(str(number) for number in range(min(facts.render_nodes, len(facts.gpu_ids))))


def need(
    catalog: Catalog, facts: Facts, request: Request, suites: Sequence[Suite], engine: str
) -> ContainerNeed:
    """The container that all suites share, and the question which image it is made from.

    Raises:
        UsageError: the suites need different containers, or no image fits the request.
    """
    shared = one_need(needs_of(catalog.containers, suites, facts.hardware_class))
    return ContainerNeed(
        profile=shared.profile,
        engine=engine,
        image=image_request(
            catalog.images,
            family=_family(catalog, facts),
            today=facts.today,
            environ=facts.environ,
            image=request.image,
            rocm=request.rocm,
            suite_rocm=shared.rocm,
        ),
        from_dockerfile=request.from_dockerfile,
        elsewhere=facts.elsewhere,
    )


def need_again(catalog: Catalog, saved: Plan) -> ContainerNeed:
    """The container of a saved plan, with the image that it names.

    Raises:
        UsageError: the plan's profile has no row here.
    """
    work, place = saved.work.container, saved.placement.container
    if work is None or place is None:
        raise UsageError(
            "the plan has no container", cause="it was edited", then=planned_again(saved.work.stage)
        )
    profile = catalog.containers.profiles.get(work.profile)
    if profile is None:
        raise UsageError(
            f"the plan's container profile {work.profile} has no row in containers.toml",
            cause="it was made at another commit",
            then=f"git checkout {saved.work.commit}",
        )
    package = catalog.engines[saved.work.engine].package
    image = planned_image(
        catalog.images,
        place,
        config_digest=saved.work.image or "",
        flavour=work.flavour,
        labels={
            FLAVOUR_LABEL: work.flavour,
            PYTHON_LABEL: saved.placement.python,
            PYTHON_VERSION_LABEL: saved.placement.python_version,
            ENGINE_LABEL + package: saved.work.engine_version,
        },
    )
    return ContainerNeed(profile=profile, engine=saved.work.engine, image=image)


def part(catalog: Catalog, facts: Facts, needs: Needs, found: DockerFacts | None) -> Part:
    """The container's part of the plan.

    Raises:
        UsageError: the dependencies of this flavour and checkout are invalid.
    """
    if found is None or needs.container is None:
        raise InfrastructureError("no facts of a container were gathered", then="report this")
    rehearsal = facts.hardware_class == CPU
    left_out = needs.suites if not rehearsal and facts.checkout is None else ()
    profile, image = needs.container.profile, found.image
    return Part(
        engine=found.engine,
        pass_through=pass_through_names(catalog, facts.environ, in_container=True),
        image=image.config_digest,
        container=_work(catalog, facts, found, profile, needs.suites),
        place=_place(found, profile, needs.request),
        not_run=preflights_not_run(left_out, "it is a script of SGLang's tree, add --checkout PATH"),
        notes=_notes(found),
        sources=_sources(catalog, facts, found, profile, needs.request),
        partial=() if image.config_digest else (f"image unresolved: {image.problem}",),
    )


def require(_catalog: Catalog, _facts: Facts, needs: Needs, found: DockerFacts | None) -> None:
    """Refuse what a plan may be made of and no run.

    Raises:
        InfrastructureError: this machine has no engine, or the image is unresolved, or stale and `--strict` is given.
    """
    if found is None:
        return
    if found.container.problem:
        raise InfrastructureError(
            f"the docker executor needs a Docker engine: {found.container.problem}",
            cause="it is not running, or this user has no access to its socket",
            then="docker info; another engine: DOCKER_HOST=unix:///path/to.sock; without one: --executor host",
        )
    require_image(found.image, strict=needs.request.strict)


def _family(catalog: Catalog, facts: Facts) -> str:
    """Of the hardware; empty for a rehearsal."""
    return "" if facts.hardware_class == CPU else catalog.family_of(facts.hardware_class)


def _work(
    catalog: Catalog, facts: Facts, found: DockerFacts, profile: ContainerProfile, suites: Sequence[Suite]
) -> ContainerWork:
    rehearsal = facts.hardware_class == CPU
    return ContainerWork(
        profile=profile.id,
        flavour=found.flavour,
        options=options_of(profile),
        env=environment_of(catalog.containers, profile.id, found.container.mounts),
        install=install_of(
            catalog.dependencies,
            flavour=found.flavour,
            family=_family(catalog, facts),
            checkout=found.tree,
            overrides=facts.environ,
        ),
        guards=guards_of(catalog.guards, flavour=found.flavour),
        preflights=() if rehearsal or facts.checkout is None else _preflights(catalog, suites),
    )


def _preflights(catalog: Catalog, suites: Sequence[Suite]) -> tuple[PreflightWork, ...]:
    """Each once, in the order of the suites that ask for it."""
    wanted = dict.fromkeys(suite.preflight for suite in suites if suite.preflight)
    rows = [catalog.preflights[name] for name in wanted]
    return tuple(
        PreflightWork(id=row.id, argv=row.argv, env=row.env, timeout_s=row.timeout_s) for row in rows
    )


def _place(docker: DockerFacts, profile: ContainerProfile, request: Request) -> ContainerPlace:
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
        groups=found.groups,
        mounts=found.mounts,
        absent=found.absent,
        cache=found.cache,
        cache_free_bytes=found.cache_free_bytes,
        nofile=nofile_of(profile, found.nofile_max),
        keep=request.keep,
        strict=request.strict,
        exclusive_host=request.exclusive_host,
    )


def _sources(
    catalog: Catalog, facts: Facts, docker: DockerFacts, profile: ContainerProfile, request: Request
) -> Mapping[str, str]:
    """Where each value came from, by dotted path."""
    named = overriding(catalog.dependencies, facts.environ)
    overrides = "".join(f"; {key} by {variable}" for key, variable in named.items())
    row = f"containers.toml: profile[{profile.id}]"
    return {
        "work.image": docker.image.source,
        "work.container": "the tests run in a container",
        "work.container.profile": f"{row}: {profile.why}",
        "work.container.flavour": docker.image.source,
        "work.container.options": row,
        "work.container.env": f"containers.toml: variables of {profile.id}",
        "work.container.install": f"dependencies.toml{overrides}",
        "work.container.preflights": "stages.toml: preflights of the suites, on real hardware",
        "work.container.guards": "guards.toml",
        "placement.container.docker": docker.container.docker_source,
        "placement.container.image": docker.image.source,
        "placement.container.mirror": docker.container.mirror_source,
        "placement.container.devices": docker.container.device_source,
        "placement.container.nofile": _nofile_source(docker, profile, row),
        "placement.container.keep": "--keep" if request.keep else "default: removed after the run",
        "placement.container.strict": "--strict" if request.strict else "default: a stale image is a warning",
        "placement.container.exclusive_host": "--exclusive-host"
        if request.exclusive_host
        else "default: other users' containers stay",
    }


def _notes(docker: DockerFacts) -> tuple[str, ...]:
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
    lacks = "without its variables" if found.elsewhere else "not in the container"
    notes += [f"not on this machine, so {lacks}: {row}" for row in found.absent]
    return tuple(notes)


def _nofile_source(docker: DockerFacts, profile: ContainerProfile, row: str) -> str:
    most = docker.container.nofile_max
    if most is not None and nofile_of(profile, most) != profile.nofile:
        return f"{row} asks for {profile.nofile}, the engine grants {most}"
    return row
