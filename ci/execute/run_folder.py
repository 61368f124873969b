"""The run folder: made exclusively, one per run."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ci.catalog.toml_reader import closest
from ci.errors import InfrastructureError, UsageError, writing
from ci.execute.agent_file import AGENT_NAME
from ci.plan.model import Plan
from ci.record.event_log import read_events
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.system.clock import folder_stamp

__all__ = [
    "REPORTED",
    "RunFolder",
    "find_folder",
    "make_folder",
    "make_report_folder",
    "newest_folder",
    "prune_folders",
    "read_plan",
]

_MAKES_A_PLAN = "nox -s plan -- stage_a_amd --json > plan.json"

# the names of the runs that were started in a folder
_ORDER: Final = ".order"
# beside the report of several runs: their folders, so that its links to logs work wherever it is taken
REPORTED: Final = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """`.runs/<utc>-<stage>-<short digest>/` and the names in it. `worker` is the number of one of several, whose own files are apart."""

    path: Path
    worker: str = ""

    @property
    def name(self) -> str:
        """The folder's name, which names the run."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """The plan as JSON."""
        return self.path / "plan.json"

    @property
    def events(self) -> Path:
        """The record."""
        return self.path / "events.jsonl"

    @property
    def own(self) -> Path:
        """The folder of the files that each worker has for itself."""
        return self.path / "slurm" / "workers" / self.worker if self.worker else self.path

    @property
    def spec(self) -> Path:
        """The agent's input."""
        return self.own / "spec.json"

    @property
    def agent(self) -> Path:
        """The agent's file, when it runs on this machine."""
        return self.own / AGENT_NAME

    @property
    def logs(self) -> Path:
        """One log per attempt."""
        return self.path / "logs"

    @property
    def own_logs(self) -> Path:
        """The logs of phases, and the agent's own."""
        return self.own / "logs"

    @property
    def agent_log(self) -> Path:
        """What the agent itself prints on standard error."""
        return self.own_logs / "agent.log"

    def record(self) -> RunRecord:
        """What the events say; of nothing when there are none."""
        return fold(read_events(self.events) if self.events.is_file() else ())


def read_plan(path: Path) -> Plan:
    """A plan from plan.json or a run folder.

    Raises:
        UsageError: the file does not exist, or has no complete plan.
    """
    if path.is_dir():
        path = path / "plan.json"
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        what = f"cannot read {path}: {error.strerror}"
        raise UsageError(what, cause="not a plan or a run folder", then=_MAKES_A_PLAN) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is no plan: it is not JSON: {error}",
            cause="it is cut off, or is another file",
            then=_MAKES_A_PLAN,
        ) from error
    return Plan.from_json(data, where=str(path))


def make_folder(plan: Plan, moment: datetime) -> RunFolder:
    """Make the folder of a run; `-2`, `-3` when another run of the same plan starts in the same second.

    One that is made on a cluster's shared file system is among the runs of this checkout by a link.

    Raises:
        InfrastructureError: it cannot be made (full disk, read-only tree, no permission).
    """
    base = f"{folder_stamp(moment)}-{plan.work.stage}-{plan.digest[:8]}"
    runs, slurm = Path(plan.placement.runs_dir), plan.placement.slurm
    if slurm is None or not slurm.shared or Path(slurm.shared).resolve() == runs.resolve():
        return RunFolder(path=_make(runs, base, ("logs",)))
    path = _make(Path(slurm.shared), base, ("logs",))
    link = runs / path.name
    with writing(link):
        runs.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
        _note_order(runs, path.name)
    return RunFolder(path=path)


def make_report_folder(runs: Path, moment: datetime) -> Path:
    """Make a folder among the runs for a report of several of them; it is removed with the old ones.

    Raises:
        InfrastructureError: it cannot be made.
    """
    return _make(runs, f"{folder_stamp(moment)}-report", (REPORTED,))


def _make(runs: Path, base: str, inside: tuple[str, ...]) -> Path:
    """A new folder in `runs` with those in it, named so, or with `-2`, `-3` behind it."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            path = runs / (base if number == 1 else f"{base}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            for name in inside:
                (path / name).mkdir()
            _note_order(runs, path.name)
            return path
    except OSError as error:
        raise InfrastructureError(
            f"no run folder can be made in {runs}: {error.strerror}",
            cause="the disk is full, or the folder is not writable for this user",
            then="name another folder: AMD_CI_RUNS=DIR nox -s ...",
        ) from error
    raise InfrastructureError(f"{runs} already has 999 runs from this second", then="wait a second")


def newest_folder(runs: Path, stage: str) -> RunFolder | None:
    """The newest run folder of a stage, whatever it holds."""
    if not runs.is_dir():
        return None
    names = [entry.name for entry in os.scandir(runs) if f"-{stage}-" in entry.name and entry.is_dir()]
    return RunFolder(path=runs / _in_order(runs, names)[-1]) if names else None


def _note_order(runs: Path, name: str) -> None:
    """One name a line, in the order in which runs were started: a clock that was set back does not change it."""
    with (runs / _ORDER).open("ab", buffering=0) as file:
        file.write(f"{name}\n".encode())


def _in_order(runs: Path, names: Iterable[str]) -> list[str]:
    """Oldest first. Folders that were not started here come before the others, by the time in their names."""
    try:
        lines = (runs / _ORDER).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    place = {name: number for number, name in enumerate(lines)}
    return sorted(names, key=lambda name: (place.get(name, -1), name))


def find_folder(runs: Path, run: str) -> RunFolder:
    """A run folder by its path, or by its name in `runs`, of which a beginning that no other has is enough.

    Raises:
        UsageError: there is none.
    """
    names = [entry.name for entry in runs.iterdir() if entry.is_dir()] if runs.is_dir() else []
    begun = [runs / name for name in names if run and name.startswith(run)]
    for path in (Path(run), runs / run, *(begun if len(begun) == 1 else ())):
        if (path / "events.jsonl").is_file():
            return RunFolder(path=path.resolve())
    raise UsageError(
        f"unknown run {run}: neither a run folder nor a name in {runs}",
        cause=closest(run, [name for name in names if not name.startswith(".")]),
        then=f"ls {runs}",
    )


def prune_folders(runs: Path, *, keep: int, dry: bool) -> tuple[Path, ...]:
    """Remove all but the newest `keep` run folders; returns them. A folder with neither a plan nor reported runs is not ours.

    Raises:
        UsageError: `keep` is negative.
        InfrastructureError: a folder cannot be removed.
    """
    if keep < 0:
        raise UsageError(f"--keep is {keep}", then="give the number of runs to keep, e.g. --keep 20")
    if not runs.is_dir():
        return ()
    names = _in_order(
        runs,
        (
            entry.name
            for entry in os.scandir(runs)
            if (runs / entry.name / "plan.json").is_file() or (runs / entry.name / REPORTED).is_dir()
        ),
    )
    old = tuple(runs / name for name in names[: max(0, len(names) - keep)])
    for path in old if not dry else ():
        try:
            shutil.rmtree(path.resolve())
            if path.is_symlink():
                path.unlink()
        except OSError as error:
            raise InfrastructureError(
                f"cannot remove {path}: {error.strerror}", then=f"ls -la {path}"
            ) from error
    return old
