"""The `docker run` line of a plan, as text: the executor's own container by hand, with a shell in it.

It is made from what the executor gives the engine, so the two cannot drift apart.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ci.docker.create_args import create_arguments, parts_of
from ci.plan.container.needs import CHECKOUT_COPY, CHECKOUT_DIR, ROOT_DIR
from ci.plan.model import Plan, SuiteWork

__all__ = ["docker_argv", "docker_line", "inside_lines"]

_NAME = "amd-ci-by-hand"
_SHELL = "/bin/sh"


def docker_argv(plan: Plan, *, root: str, run_dir: str, secrets: Sequence[str]) -> tuple[str, ...]:
    """The container of a run as arguments of docker.

    `root` is the tree of this repository, `run_dir` what is mounted where the run folder would be. `secrets` are names of
    variables that docker takes from the caller's environment: a value is never in the line.

    Raises:
        ValueError: the plan is of another executor.
        KeyError: the executor gives the engine something that has no flag here.
    """
    _, place, image = parts_of(plan)
    pinned = place.image_pinned if "@" in place.image_pinned else image
    # no labels: the sweep goes by them, and this container has no run
    made = create_arguments(
        plan, image=pinned, name=_NAME, labels={}, run_dir=run_dir, root=root, ttl_s=0, kept=False
    )
    argv = ["docker", "run", "--interactive", "--tty"]
    for name, value in made["host_config"].items():
        argv += _HOST_CONFIG[name](value)
    for name, value in made.items():
        argv += _ARGUMENTS[name](value)
    for name in secrets:
        argv += ["--env", name]
    return (*argv, pinned)


def docker_line(plan: Plan, *, root: str, run_dir: str, secrets: Sequence[str]) -> str:
    """The same as one line of a shell."""
    return shlex.join(docker_argv(plan, root=root, run_dir=run_dir, secrets=secrets))


def inside_lines(plan: Plan) -> tuple[str, ...]:
    """What to type in that shell: the checkout's copy where there is one, then each suite's tests with its environment.

    The executor's agent, limits, retries and installation are left out; `nox ... --plan` has them.
    """
    here = CHECKOUT_COPY if plan.work.checkout else ROOT_DIR
    lines = [f"cd {ROOT_DIR}"]
    if plan.work.checkout:
        lines = [f"mkdir -p {here} && cp -R {CHECKOUT_DIR}/. {here}/ && cd {here}"]
    return (*lines, *(_suite_line(plan, suite) for suite in plan.work.suites if suite.tests))


def _suite_line(plan: Plan, suite: SuiteWork) -> str:
    variables = {**suite.env, "PYTHONPATH": f"{ROOT_DIR}/test"}
    words = ["env", *(f"{name}={value}" for name, value in variables.items())]
    tests = [case for test in suite.tests for case in test.cases or (test.path,)]
    return shlex.join([*words, plan.placement.python, "-m", "pytest", *plan.work.pytest_args, *tests])


def _each(flag: str) -> Callable[[Sequence[Any]], list[str]]:
    return lambda values: [word for value in values for word in (flag, str(value))]


def _one(flag: str) -> Callable[[Any], list[str]]:
    return lambda value: [flag, str(value)]


def _switch(flag: str) -> Callable[[Any], list[str]]:
    # false is written too: an engine may have true as default
    return lambda value: [flag] if value else [f"{flag}=false"]


def _nothing(_value: Any) -> list[str]:
    return []


def _device(row: Mapping[str, str]) -> str:
    return f"{row['PathOnHost']}:{row['PathInContainer']}:{row['CgroupPermissions']}"


def _mount(row: Mapping[str, Any]) -> str:
    parts = [f"type={row['Type']}", f"source={row['Source']}", f"target={row['Target']}"]
    # docker reads the value as one line of CSV
    quoted = [f'"{part.replace(chr(34), chr(34) * 2)}"' if set(part) & {",", '"'} else part for part in parts]
    return ",".join([*quoted, *(["readonly"] if row["ReadOnly"] else [])])


def _ulimit(row: Mapping[str, Any]) -> str:
    return f"{row['Name']}={row['Soft']}:{row['Hard']}"


# every field that the executor gives the engine, with its words
_HOST_CONFIG: Mapping[str, Callable[[Any], list[str]]] = {
    "AutoRemove": _switch("--rm"),
    "CapAdd": _each("--cap-add"),
    "Devices": lambda rows: _each("--device")([_device(row) for row in rows]),
    "GroupAdd": _each("--group-add"),
    "Init": _switch("--init"),
    "IpcMode": _one("--ipc"),
    "Mounts": lambda rows: _each("--mount")([_mount(row) for row in rows]),
    "NetworkMode": _one("--network"),
    "Privileged": _switch("--privileged"),
    "SecurityOpt": _each("--security-opt"),
    "ShmSize": lambda size: ["--shm-size", f"{size}b"],
    "Ulimits": lambda rows: _each("--ulimit")([_ulimit(row) for row in rows]),
}
_ARGUMENTS: Mapping[str, Callable[[Any], list[str]]] = {
    "name": _one("--name"),
    # the executor's program holds the container for as long as we are there; by hand a shell does
    "entrypoint": lambda _init: ["--entrypoint", _SHELL],
    "user": _one("--user"),
    "working_dir": _one("--workdir"),
    "environment": lambda variables: _each("--env")([f"{name}={value}" for name, value in variables.items()]),
    # the image comes last; a shell gets no command; input and detaching come first
    "image": _nothing,
    "command": _nothing,
    "labels": _nothing,
    "stdin_open": _nothing,
    "detach": _nothing,
    "host_config": _nothing,
}
