"""What happens in a started container around its tests: a copy of the checkout in its own layer, and preflights."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ci.catalog.catalog import Catalog
from ci.docker.command_runner import Ended
from ci.docker.container import KILL_S, Container
from ci.errors import CiError, InfrastructureError
from ci.plan.container.needs import CHECKOUT_COPY, CHECKOUT_DIR, ROOT_DIR, STATE_DIR
from ci.plan.container.work import PreflightWork
from ci.plan.model import Plan
from ci.record.phases import Phase
from ci.record.values import PhaseOutcome
from ci.system.process import PROBE_S

__all__ = [
    "checked",
    "copy_checkout",
    "give_back",
    "look_at_engine",
    "run_preflight",
    "working_root",
]

_MARK = "checkout"
# a tree of 1 GB on a busy disk
_COPY_S = 600.0


def working_root(plan: Plan) -> str:
    """The tree in which the tests run, inside."""
    return CHECKOUT_COPY if plan.work.checkout else ROOT_DIR


def copy_checkout(container: Container, plan: Plan, phase: Phase) -> None:
    """Copy the checkout as it is; a kept container that has a copy of this very tree keeps it, with what was built in it.

    Raises:
        InfrastructureError: it cannot be copied.
    """
    tree = plan.work.checkout
    if not tree:
        phase.text = "this repository is mounted, nothing is copied"
        return
    if tree != "unknown" and container.get(f"{STATE_DIR}/{_MARK}") == tree.encode():
        phase.outcome, phase.text = PhaseOutcome.SKIPPED, f"the container has a copy of {tree}"
        return
    commands = (
        ["rm", "-rf", CHECKOUT_COPY],
        ["mkdir", "-p", CHECKOUT_COPY],
        # without the owner: git refuses a tree that is not the user's own
        ["cp", "-R", "--preserve=mode,timestamps,links", f"{CHECKOUT_DIR}/.", f"{CHECKOUT_COPY}/"],
    )
    with phase.open_log() as log:
        for argv in commands:
            checked(container.run(argv, timeout_s=_COPY_S, on_output=_into(log)))
    container.put(STATE_DIR, {_MARK: tree.encode()})
    phase.text = f"{tree} is in {CHECKOUT_COPY}"


def checked(ended: Ended) -> None:
    """Refuse a command of the copy that failed.

    Raises:
        InfrastructureError: with its last output.
    """
    if ended.code == 0:
        return
    last = ended.stderr.decode(errors="replace").strip().splitlines()
    raise InfrastructureError(
        f"cannot copy the checkout into the container: {last[-1] if last else ended.why}",
        cause="the disk with the engine's data is full, or a file cannot be read",
        then="docker system df; df -h",
    )


def look_at_engine(container: Container, plan: Plan, catalog: Catalog) -> str:
    """Which version of the engine is installed inside after all steps, in words.

    Raises:
        InfrastructureError: it is not what the plan says.
    """
    package = catalog.engines[plan.work.engine].package
    program = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    argv = [plan.placement.python, "-c", program, package]
    ended = container.run(argv, timeout_s=PROBE_S)
    found = ended.stdout.decode(errors="replace").strip() if ended.code == 0 else ""
    planned = plan.work.engine_version
    if planned and found != planned and not plan.work.checkout:
        raise InfrastructureError(
            f"the plan says {package} {planned}, in the container it is {found or 'not installed'}",
            cause="the image's label does not say what is in it",
            then="build the image again: ./inv image.build",
        )
    return f"engine in the container: {package} {found or 'is not installed'}"


def run_preflight(container: Container, row: PreflightWork, *, cwd: str, phase: Phase) -> None:
    """A command that looks at the machine before tests are blamed for it; `row` is one of the plan's `preflights`.

    Raises:
        InfrastructureError: it failed or did not end in time.
    """
    argv = list(row.argv)
    with phase.open_log() as log:
        log.write(f"# in {cwd}: {shlex.join(argv)}\n".encode())
        ended = container.run(argv, timeout_s=row.timeout_s, cwd=cwd, env=row.env, on_output=_into(log))
        ending = ended.why if ended.code is None else f"exit {ended.code}"
        log.write(f"# {ending}\n".encode())
    if ended.code == 0:
        phase.text = f"{row.id} passed"
        return
    printed = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
    raise InfrastructureError(
        f"the preflight {row.id} failed: {ending}",
        cause=printed[-1] if printed else "it printed nothing",
        then=f"read {phase.log}; the machine failed, not the tests: use another machine",
    )


def give_back(container: Container, inside: str, run_dir: Path, phase: Phase) -> None:
    """Files that root wrote into the run folder get the folder's owner; `inside` is that folder's path in the container."""
    owner = run_dir.stat()
    logs = [path for path in (run_dir / "logs").iterdir() if path.lstat().st_uid != owner.st_uid]
    if not logs:
        return
    argv = ["chown", "-h", "-R", f"{owner.st_uid}:{owner.st_gid}", f"{inside}/logs"]
    try:
        ended = container.run(argv, timeout_s=KILL_S)
    except CiError as error:
        phase.warn(f"{len(logs)} files in {run_dir}/logs still belong to root: {error.what}")
        return
    if ended.code != 0:
        phase.warn(f"{len(logs)} files in {run_dir}/logs still belong to root")


def _into(log: IO[bytes]) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        log.write(data)

    return write
