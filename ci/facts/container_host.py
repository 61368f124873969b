"""What this machine has for a container: an engine, device nodes, paths to mount, a mirror."""

import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.containers import ContainerMount, ContainerProfile
from ci.catalog.images import mirror_for
from ci.docker.client import connect, docker_host, remote_because
from ci.errors import InfrastructureError, UsageError
from ci.plan.container.needs import ContainerFacts, Device, Mount

__all__ = ["RUNNER_LABEL", "count_render_nodes", "gather_container_facts", "nofile_max", "pool_of"]

RUNNER_LABEL = "AMD_CI_RUNNER_LABEL"

# Where Kubernetes tells a runner's pod its share of the GPUs, as options of `docker run`.
_POD_DEVICES = "etc/podinfo/gha-render-devices"
_RENDER_NODES = "dev/dri"

_ON = frozenset({"1", "true", "yes", "on", "pvc", "persistent"})
_OFF = frozenset({"0", "false", "no", "off"})

_PEER = struct.Struct("3i")  # pid, uid, gid of SO_PEERCRED
_CAP_SYS_RESOURCE = 1 << 24


def gather_container_facts(
    catalog: Catalog,
    profile: ContainerProfile,
    environ: Mapping[str, str],
    *,
    elsewhere: bool = False,
    sysroot: Path = Path("/"),
) -> ContainerFacts:
    """Look at everything that the profile asks for. An engine that does not answer is a `problem`, not an error.

    `elsewhere` is for the plan of another machine, whose devices and engine cannot be looked at. `sysroot` is the folder that
    the host's paths are looked up in; what is returned is without it.

    Raises:
        UsageError: a switch of a mount has a value that means neither on nor off.
    """
    host, host_source = docker_host(environ)
    devices, device_source, absent = _planned(profile) if elsewhere else _devices(profile, sysroot)
    mounts: list[Mount] = []
    cache, cache_free_bytes = "", None
    for row in (catalog.containers.mounts[name] for name in profile.mounts):
        mount, why_not = _mount(row, environ, sysroot)
        if mount is None:
            absent.append(why_not)
            continue
        mounts.append(mount)
        if row.switch:
            cache, cache_free_bytes = mount.source, _free_bytes(sysroot, mount.source)
    mirror, mirror_source = mirror_for(catalog.images, pool_of(catalog, environ), environ)
    return ContainerFacts(
        docker=host,
        docker_source=host_source,
        problem="" if elsewhere else _engine_problem(host),
        devices=tuple(devices),
        device_source=device_source,
        mounts=tuple(mounts),
        absent=tuple(absent),
        cache=cache,
        cache_free_bytes=cache_free_bytes,
        nofile_max=None if elsewhere else nofile_max(host),
        mirror=mirror,
        mirror_source=mirror_source,
        elsewhere=elsewhere,
    )


def pool_of(catalog: Catalog, environ: Mapping[str, str]) -> str:
    """The runner pool that this machine's label is of, empty when it has none."""
    label = environ.get(RUNNER_LABEL, "")
    return next((row.pool for row in catalog.labels if label and row.label == label), "")


def count_render_nodes(sysroot: Path = Path("/")) -> int:
    """How many GPUs a container on this machine can get."""
    nodes, _ = _render_nodes(sysroot)
    return sum(
        node.rpartition("/")[2].startswith("renderD") and (sysroot / node.lstrip("/")).exists()
        for node in nodes
    )


def nofile_max(host: str) -> int | None:
    """How many open files the engine can grant a container; None when that cannot be seen.

    An engine that may raise limits is bound by the kernel alone, another one by its own hard limit. Which process
    listens is what the kernel says about the other end of the socket.
    """
    if not host.startswith("unix://"):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(host.removeprefix("unix://"))
            pid, _, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        status = Path(f"/proc/{pid}/status").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        most = int(Path("/proc/sys/fs/nr_open").read_text())
    except (OSError, ValueError):
        return None
    capabilities = re.search(r"^CapEff:\s+([0-9a-f]+)$", status, re.MULTILINE)
    hard = re.search(r"^Max open files\s+\S+\s+(\d+)", limits, re.MULTILINE)
    if capabilities is None:
        return None
    if int(capabilities[1], 16) & _CAP_SYS_RESOURCE:
        return most
    return int(hard[1]) if hard else most


def _engine_problem(host: str) -> str:
    if remote := remote_because(host):
        return f"the engine at {host} cannot be used: {remote}"
    try:
        connect(host).close()
    except InfrastructureError as error:
        return error.what
    return ""


def _planned(profile: ContainerProfile) -> tuple[list[Device], str, list[str]]:
    """The nodes of a machine that cannot be looked at, as its row names them."""
    source = "planned: containers.toml"
    if profile.render_devices:
        source += f"; a node in /{_RENDER_NODES} for each GPU is found on that machine"
    return [Device(path=path, gid=None) for path in profile.devices], source, []


def _devices(profile: ContainerProfile, sysroot: Path) -> tuple[list[Device], str, list[str]]:
    """The nodes that exist, where their list came from, and those that don't exist."""
    wanted = list(profile.devices)
    source = "containers.toml"
    if profile.render_devices:
        render, source = _render_nodes(sysroot)
        wanted += render
    devices, absent = [], []
    for path in wanted:
        try:
            devices.append(Device(path=path, gid=(sysroot / path.lstrip("/")).stat().st_gid))
        except OSError as error:
            absent.append(f"{path}: {error.strerror}")
    return devices, source, absent


def _render_nodes(sysroot: Path) -> tuple[list[str], str]:
    """The render nodes that are ours: a pod's share where there is one, else all of the machine."""
    try:
        text = (sysroot / _POD_DEVICES).read_text(errors="replace")
    except OSError:
        text = ""
    share = list(dict.fromkeys(re.findall(r"/dev/[A-Za-z0-9_./-]+", text)))
    nodes = [path for path in share if not path.endswith("/dri")]
    if nodes:
        return nodes, f"/{_POD_DEVICES}"
    folder = sysroot / _RENDER_NODES
    found = sorted(folder.glob("renderD*"), key=lambda path: (len(path.name), path.name))
    source = f"/{_RENDER_NODES}"
    if text.strip() and not share:
        source += f", because /{_POD_DEVICES} names no device"
    return [f"/{_RENDER_NODES}/{path.name}" for path in found], source


def _mount(row: ContainerMount, environ: Mapping[str, str], sysroot: Path) -> tuple[Mount | None, str]:
    """The bind mount of a row, or why there is none."""
    off = _switched_off(row, environ)
    if off:
        return None, f"{row.id}: {off}"
    path = row.path
    if row.first_match:
        matches = sorted(sysroot.glob(row.path.lstrip("/")))
        path = f"/{matches[0].relative_to(sysroot)}" if matches else path
    if not (sysroot / path.lstrip("/")).exists():
        return None, f"{row.id}: {path} does not exist"
    return Mount(id=row.id, source=path, target=row.target or path, read_only=row.read_only), ""


def _switched_off(row: ContainerMount, environ: Mapping[str, str]) -> str:
    """Why a row's switch leaves it out, empty when it does not.

    Raises:
        UsageError: its value means neither on nor off.
    """
    if not row.switch:
        return ""
    value = environ.get(row.switch, "")
    if not value:
        runner = environ.get("RUNNER_NAME", "")
        if not row.default_on or any(word in runner for word in row.default_on):
            return ""
        words = " or ".join(row.default_on)
        return f"{row.switch} is not set and RUNNER_NAME ({runner or 'not set'}) has no {words} in it"
    if value.lower() in _OFF:
        return f"{row.switch}={value}"
    if value.lower() not in _ON:
        raise UsageError(
            f"{row.switch} is {value!r}",
            cause=f"it is one of {', '.join(sorted(_ON | _OFF))}",
            then=f"unset {row.switch}, or set it to 1 or 0",
        )
    return ""


def _free_bytes(sysroot: Path, path: str) -> int | None:
    try:
        disk = os.statvfs(sysroot / path.lstrip("/"))
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
