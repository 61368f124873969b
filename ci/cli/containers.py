"""`./inv container.list|stop|prune`, and the containers of `./inv runs.sweep`: this project's containers on an engine, and no others."""

from collections.abc import Callable, Mapping
from contextlib import closing

from ci.docker.client import EngineError, connect, docker_host
from ci.docker.sweep import Tenant, is_left_over, list_containers, sweep_containers
from ci.errors import InfrastructureError, UsageError
from ci.report.console import print_json
from ci.report.views.containers import show_not_looked_at, show_swept_containers, show_tenants

__all__ = ["list_verb", "prune_verb", "stop_verb", "sweep_verb"]


def list_verb(environ: Mapping[str, str], *, as_json: bool) -> None:
    """Show them all.

    Raises:
        InfrastructureError: the engine does not answer.
    """
    tenants = _tenants(environ)
    if as_json:
        rows = [
            {
                "name": one.name,
                "run": one.ownership.run,
                "state": one.state,
                "kept": one.ownership.kept,
                "owner_dead": one.ownership.owner_ended,
                "image": one.image,
            }
            for one in tenants
        ]
        print_json(rows)
        return
    show_tenants(environ, tenants)


def stop_verb(environ: Mapping[str, str], name: str) -> None:
    """End and remove one by its name, kept or not.

    Raises:
        UsageError: no container of this project has this name.
        InfrastructureError: the engine does not answer, or the container stays.
    """
    names = [one.name for one in _tenants(environ)]
    if name not in names:
        what = f"no container of this project is named {name!r}"
        raise UsageError(what, cause=f"there are: {', '.join(names) or 'none'}", then="./inv container.list")
    _sweep(environ, lambda one: one.name == name)


def prune_verb(environ: Mapping[str, str], *, kept: bool) -> None:
    """Remove what killed runs have left; with `kept` also what they have kept.

    Raises:
        InfrastructureError: the engine does not answer, or a container stays.
    """
    _sweep(
        environ, lambda one: is_left_over(one) or (kept and one.ownership.kept and one.ownership.owner_ended)
    )


def sweep_verb(environ: Mapping[str, str]) -> None:
    """Remove what killed runs have left, as `prune_verb` does; without an engine print that nothing was checked.

    Raises:
        InfrastructureError: a container stays.
    """
    host, source = docker_host(environ)
    try:
        connect(host).close()
    except InfrastructureError as error:
        show_not_looked_at(environ, f"{error.what} ({source})")
        return
    prune_verb(environ, kept=False)


def _tenants(environ: Mapping[str, str]) -> tuple[Tenant, ...]:
    host, _ = docker_host(environ)
    try:
        with closing(connect(host)) as client:
            return list_containers(client)
    except EngineError as error:
        raise _failed(host, error) from error


def _sweep(environ: Mapping[str, str], chosen: Callable[[Tenant], bool]) -> None:
    host, _ = docker_host(environ)
    try:
        with closing(connect(host)) as client:
            swept = sweep_containers(client, chosen=chosen)
    except EngineError as error:
        raise _failed(host, error) from error
    show_swept_containers(environ, swept)
    left = [f"{one.tenant.name}: {one.problem}" for one in swept if one.problem]
    if left:
        raise InfrastructureError(
            f"{len(left)} containers could not be removed: {'; '.join(left)}", then="docker info"
        )


def _failed(host: str, error: EngineError) -> InfrastructureError:
    return InfrastructureError(
        f"the Docker engine at {host} failed: {error.text}",
        cause="it stopped in the meantime",
        then="docker info",
    )
