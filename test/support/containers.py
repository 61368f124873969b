"""Container facts and plans for tests: values alone, no engine is asked."""

from dataclasses import replace
from typing import Any

from ci.catalog.executors import ExecutorKind
from ci.plan.container.image_fact import ImageFact
from ci.plan.container.needs import ContainerFacts, Device, Mount
from ci.plan.facts import DockerFacts, EngineFact
from ci.plan.model import Plan
from support.planning import catalog, mi300x, planned, registration, request

__all__ = ["CACHE", "DIGEST", "contained", "docker_facts", "image"]

DIGEST = "sha256:" + "c" * 64
CACHE = Mount(id="cache", source="/srv/cache", target="/cache", read_only=False)


def image(**changes: Any) -> ImageFact:
    value = ImageFact(
        reference="org/engine:v0.5.12-rocm700-mi30x-20260528",
        manifest_digest="sha256:" + "d" * 64,
        config_digest=DIGEST,
        flavour="rocm700",
        labels={},
        env={},
        size_bytes=1,
        age_days=1,
        stale_after_days=3,
        candidates=(),
        source="the registry",
    )
    return replace(value, **changes)


def docker_facts(found: ImageFact, *, flavour: str = "rocm700", **changes: Any) -> DockerFacts:
    container = ContainerFacts(
        docker="unix:///run/docker.sock",
        docker_source="default",
        problem="",
        devices=(Device(path="/dev/kfd", gid=110), Device(path="/dev/dri/renderD128", gid=44)),
        device_source="/dev/dri",
        mounts=(CACHE,),
        absent=(),
        cache=CACHE.source,
        cache_free_bytes=1,
        nofile_max=1 << 20,
        mirror="",
        mirror_source="none",
    )
    return DockerFacts(
        container=replace(container, **changes),
        engine=EngineFact(python="python3", python_version="", engine_version="1.0", source="label"),
        image=found,
        flavour=flavour,
        tree=None,
    )


def contained(**changes: Any) -> Plan:
    here, found = mi300x([registration("test/a.py")]), docker_facts(image(), **changes)
    return planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found)
