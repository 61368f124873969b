"""The `docker run` line of a plan, as text: the same container by hand."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ci.plan.container import ContainerPlace, ContainerWork

__all__ = ["docker_argv", "docker_line"]

# what the flags of a profile are called by docker; a flag that is true has no value
_FLAGS = {"network": "--network", "ipc": "--ipc", "pid": "--pid", "user": "--user"}
_LISTS = {"capabilities": "--cap-add", "security": "--security-opt", "groups": "--group-add"}
_SWITCHES = {"privileged": "--privileged", "init": "--init"}


def docker_argv(
    work: ContainerWork, place: ContainerPlace, *, secrets: Sequence[str], command: Sequence[str]
) -> tuple[str, ...]:
    """The container of a run as arguments of docker: image by digest, devices, limits, mounts, environment, command.

    `secrets` are names of variables that docker takes from the caller's environment: a value never stands in the line.
    """
    argv = ["docker", "run", "--rm", "-it"]
    for device in place.devices:
        argv += ["--device", device]
    for group in place.groups:
        argv += ["--group-add", str(group)]
    argv += _options(work.options)
    for mount in place.mounts:
        read_only = ",readonly" if mount.read_only else ""
        argv += ["--mount", f"type=bind,source={mount.source},target={mount.target}{read_only}"]
    for name, value in sorted(work.env.items()):
        argv += ["--env", f"{name}={value}"]
    for name in secrets:
        argv += ["--env", name]
    return (*argv, place.image_pinned or place.image, *command)


def docker_line(
    work: ContainerWork, place: ContainerPlace, *, secrets: Sequence[str], command: Sequence[str]
) -> str:
    """The same as one line of a shell."""
    return shlex.join(docker_argv(work, place, secrets=secrets, command=command))


def _options(options: Mapping[str, Any]) -> list[str]:
    argv: list[str] = []
    for name, value in options.items():
        if name in _SWITCHES:
            argv += [_SWITCHES[name]] if value else []
        elif name in _LISTS:
            for item in value:
                argv += [_LISTS[name], str(item)]
        elif name in _FLAGS:
            argv += [_FLAGS[name], str(value)] if value else []
        elif name == "shm_bytes":
            argv += ["--shm-size", f"{int(value)}b"]
        elif name == "ulimits":
            for limit, number in dict(value).items():
                argv += ["--ulimit", f"{limit}={number}"]
    return argv
