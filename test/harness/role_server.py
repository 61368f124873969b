"""The server of a role as a program: becomes the engine's server, or SGLang's router, that the agent of the role asks for.

`AMD_CI_ROLE` has what the agent found out: the addresses of the other roles are in `args` already.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from harness.engines.base import Command, Start
from harness.errors import InfraError, SpecError
from harness.server import ENGINES
from harness.spec import child_environment, current

__all__ = ["engine_command", "main", "router_command"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def engine_command(given: Mapping[str, Any]) -> Command:
    """The engine's server with this run's arguments for every server, then the role's."""
    spec = current()
    return ENGINES[spec.engine](
        Start(
            model=spec.model(given["model"]),
            alias=given["model"],
            host=given["host"],
            port=given["port"],
            args=(*spec.engine_args, *given["args"]),
            embeddings=False,
            slots=None,
            context=None,
            parent=os.getppid(),
        )
    )


def router_command(given: Mapping[str, Any]) -> Command:
    """SGLang's router. Raises `InfraError` when its package is not installed."""
    if importlib.util.find_spec("sglang_router") is None:
        raise InfraError(
            f"sglang_router is not installed in {sys.executable}",
            cause="the image or the environment lacks SGLang's router",
            then=f"{sys.executable} -m pip install sglang-router",
        )
    return Command(
        argv=(
            sys.executable,
            *("-m", "sglang_router.launch_router"),
            *("--host", given["host"]),
            *("--port", str(given["port"])),
            *given["args"],
        ),
        health_path="",
        under_test=True,
    )


_SERVERS: Mapping[str, Callable[[Mapping[str, Any]], Command]] = {
    "engine": engine_command,
    "router": router_command,
}


def main() -> None:
    """Become the server; it ends with the agent that started it."""
    try:
        given = json.loads(os.environ["AMD_CI_ROLE"])
    except (KeyError, ValueError) as error:
        raise SpecError("AMD_CI_ROLE is not set: the agent of a role starts this program") from error
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel had our request
        os.kill(os.getpid(), signal.SIGKILL)
    command = _SERVERS[given["serves"]](given)
    environ = child_environment(command.env)
    os.execve(command.argv[0], command.argv, environ)  # noqa: S606  # no shell


if __name__ == "__main__":
    main()
