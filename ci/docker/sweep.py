"""Our containers on an engine: listing them, and ending those whose run is provably over."""

from collections.abc import Callable
from dataclasses import dataclass

from ci.docker.client import Client, faults
from ci.docker.container import remove_container
from ci.docker.labels import RUN, Ownership, ownership_of

__all__ = ["Swept", "Tenant", "find_kept", "list_containers", "sweep_containers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One of our containers. `state` is the engine's word: created, running, paused, exited, dead."""

    id: str
    name: str
    image: str
    state: str
    status: str
    ownership: Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A container that was removed, or that could not be (`problem` says why)."""

    tenant: Tenant
    problem: str


def list_containers(client: Client) -> tuple[Tenant, ...]:
    """Every container with our labels, whatever its state; a container without all of them is not ours to judge.

    Raises:
        EngineError: the engine does not answer.
    """
    with faults():
        # one request: the SDK's own list looks at each again, and fails when one vanishes in between
        found = client.api.containers(all=True, filters={"label": [RUN]})
    tenants = []
    for row in found:
        ownership = ownership_of(row.get("Labels") or {})
        if ownership is not None:
            tenants.append(
                Tenant(
                    id=row["Id"],
                    name=(row.get("Names") or [row["Id"][:12]])[0].lstrip("/"),
                    image=row.get("ImageID", ""),
                    state=row.get("State", ""),
                    status=row.get("Status", ""),
                    ownership=ownership,
                )
            )
    return tuple(tenants)


def sweep_containers(client: Client, *, chosen: Callable[[Tenant], bool] | None = None) -> tuple[Swept, ...]:
    """Remove what killed runs have left; those of runs in progress, running kept ones and other users' stay.

    `chosen` replaces that rule.

    Raises:
        EngineError: the engine does not answer.
    """
    swept = []
    for tenant in list_containers(client):
        if chosen(tenant) if chosen is not None else is_left_over(tenant):
            problem = remove_container(client, tenant.id)
            swept.append(Swept(tenant=tenant, problem=problem))
    return tuple(swept)


def is_left_over(tenant: Tenant) -> bool:
    """Of a run that has ended: and not kept, or kept and stopped by its time to live."""
    if tenant.ownership.kept:
        return tenant.ownership.owner_ended and tenant.state != "running"
    return tenant.ownership.owner_ended


def find_kept(client: Client, key: str) -> Tenant | None:
    """A kept container that runs and was made for the same.

    Raises:
        EngineError: the engine does not answer.
    """
    fitting = [
        tenant
        for tenant in list_containers(client)
        if tenant.ownership.kept and tenant.ownership.key == key and tenant.state == "running"
    ]
    return fitting[0] if fitting else None
