"""A container that runs already: getting into it, and whether what is installed there is right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ci.docker.client import EngineError, connect, docker_host, faults
from ci.docker.command_runner import Shell
from ci.docker.container import Container, adopt
from ci.errors import GuardError, InfrastructureError, Problem, UsageError
from ci.install.guards import PROBE_TIMEOUT_S, fingerprint, probe
from ci.install.install import read_state
from ci.plan.container.guards import Fingerprint, compare, violation
from ci.plan.container.work import GuardWork

__all__ = ["Installed", "attach", "check_installed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The protected distributions as they are, and what else was seen, a line each.

    `compared`: an earlier installation is recorded, and nothing has changed since.
    """

    protected: tuple[Fingerprint, ...]
    lines: tuple[str, ...]
    compared: bool


def attach(
    name: str, environ: Mapping[str, str], *, python: str, paused_s: float, stopped: Callable[[], bool]
) -> tuple[Container, str]:
    """A running container with our programs in it, and its image's id.

    Raises:
        UsageError: none is given, or no running container has that name.
    """
    if not name:
        raise UsageError("a container is required", then="./inv container.list; then --container NAME")
    client = connect(docker_host(environ)[0])
    try:
        with faults():
            found = client.api.inspect_container(name)
    except EngineError as error:
        raise UsageError(
            f"unknown container {name}: {error.text}",
            cause="it has ended, or runs under another engine",
            then="docker ps",
        ) from error
    if not found["State"]["Running"]:
        raise UsageError(f"the container {name} is not running", then="docker ps -a")
    full_name = found["Name"].lstrip("/")
    container = adopt(client, found["Id"], name=full_name, python=python, paused_s=paused_s, stopped=stopped)
    return container, str(found["Image"])


def check_installed(shell: Shell, python: str, guards: GuardWork, *, image: str) -> Installed:
    """Look at fingerprints, imports, and the requirements of and on protected distributions.

    Raises:
        GuardError: something is not as it has to be.
        InfrastructureError: the container did not answer.
    """
    now = fingerprint(shell, python, guards)
    state = read_state(shell)
    known = state is not None and state.image == image
    if state is not None and known:
        changes = compare(state.fingerprints, now, state.under_way)
        if changes:
            raise violation(changes, step="something after the installation", then="use a new container")
    lines = probe(shell, python, guards, now)
    unmet = _unmet(shell, python, {row.distribution for row in now if row.version})
    return Installed(protected=now, lines=(*lines, *unmet), compared=known)


def _unmet(shell: Shell, python: str, protected: set[str]) -> list[str]:
    """Requirements that are not met: a violation when a protected distribution is in it, else a line.

    Raises:
        GuardError: a protected distribution lacks something or is not what another needs.
    """
    done = shell.run([python, "-m", "pip", "check"], timeout_s=PROBE_TIMEOUT_S)
    if done.code is None:
        raise InfrastructureError(f"pip check did not end: {done.why}", then="./inv container.list")
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    if done.code == 0:
        return []
    if not lines:
        printed = done.stderr.decode(errors="replace").strip().splitlines()
        return [f"requirements were not checked: {printed[-1] if printed else f'pip ended with {done.code}'}"]
    broken = [line for line in lines if protected & set(line.lower().replace(",", " ").split())]
    if broken:
        raise GuardError(
            f"{len(broken)} requirements of or on protected distributions are not met",
            cause="a package was installed over the one that the image was built with",
            then="./inv deps.plan --container NAME shows what installs them",
            problems=[Problem(where="pip check", what=line) for line in broken],
        )
    return [f"not met: {line}" for line in lines]
