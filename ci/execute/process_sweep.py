"""Finding and ending what a run left: by the token in the environment of all its processes."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ci.system.process_identity import Owner, owner_of_self

__all__ = [
    "Found",
    "processes_with",
    "register",
    "sweep",
    "sweep_ended_runs",
    "unregister",
]

_PROC = Path("/proc")
# a fork between listing and killing escapes one pass
_PASSES = 20
_PASS_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A process that holds a token."""

    pid: int
    command: str


def processes_with(token: str) -> tuple[Found, ...]:
    """Processes of this token, or of one that was made of it: `<token>.1`; those of other users cannot be seen, nor ended."""
    whole = f"AMD_CI_TOKEN={token}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            if any(each == whole or each.startswith(whole + b".") for each in environ):
                command = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
                found.append(Found(pid=int(entry.name), command=command))
        except OSError:  # it has ended, or it is another user's
            continue
    return tuple(found)


def sweep(token: str, *, wait: Callable[[float], None]) -> tuple[Found, ...]:
    """Kill every process with the token until a pass finds none, and remove the run's temporary folder; returns what was killed.

    A fork between listing and killing escapes one pass, hence several. `wait` is called with seconds between them.
    """
    killed: dict[int, Found] = {}
    for _ in range(_PASSES):
        found = processes_with(token)
        if not found:
            break
        for process in found:
            killed[process.pid] = process
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait(_PASS_S)
    # the folders of its tests, which the agent removes at its end
    temporary = Path(tempfile.gettempdir())
    for folder in (temporary / token, *temporary.glob(f"{token}.*")):
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(killed.values())


def register(live_dir: Path, token: str, run: Path) -> None:
    """Note that this process owns a run with this token and this folder, for the next start."""
    live_dir.mkdir(parents=True, exist_ok=True)
    owner = owner_of_self()
    content = {
        "pid": owner.pid, "start_ticks": owner.start_ticks, "boot_id": owner.boot_id, "run": str(run)
    }  # fmt: skip
    (live_dir / f"{token}.json").write_text(json.dumps(content))


def unregister(live_dir: Path, token: str) -> None:
    """The run is over and nothing of it is left."""
    (live_dir / f"{token}.json").unlink(missing_ok=True)


def sweep_ended_runs(
    live_dir: Path, *, wait: Callable[[float], None], goes_on: Callable[[Path], bool]
) -> tuple[Found, ...]:
    """End what runs have left whose owner has provably ended; runs in progress are not touched.

    `goes_on` says of a run folder whether its run goes on without the process that started it.
    """
    killed: list[Found] = []
    for path in sorted(live_dir.glob("amdci-*.json")):
        try:
            data = json.loads(path.read_text())
            owner = Owner(pid=data["pid"], start_ticks=data["start_ticks"], boot_id=data["boot_id"])
            run = data.get("run", "")
        except (OSError, ValueError, KeyError):
            # cut while it was written: its writer is gone, or has just started and sweeps itself
            pass
        else:
            if owner.alive or (run and goes_on(Path(run))):
                continue
        killed += sweep(path.stem, wait=wait)
        path.unlink(missing_ok=True)
    return tuple(killed)
