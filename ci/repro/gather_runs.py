"""From sources (run folders, zip archives, links to runs of Actions) to the runs of a workflow, laid side by side."""

import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from ci.catalog.catalog import Catalog
from ci.errors import CiError, ExitCode, Problem, UsageError, writing
from ci.execute.run_folder import REPORTED, RunFolder, read_plan
from ci.github.api import GitHub, Link, api_base, parse_link
from ci.github.job_names import job_name, looks_like_a_job
from ci.plan.shards import Shard
from ci.record.merge import Found, Planned, Unusable
from ci.record.model import SuiteShard
from ci.report.console import say
from ci.repro.archive import ZIP, RunArchive

__all__ = ["EXAMPLE", "RunGatherer", "planned_of"]

EXAMPLE: Final = "nox -s report -- .runs/RUN ARTIFACT.zip https://github.com/OWNER/REPO/actions/runs/RUN"


def planned_of(jobs: Iterable[tuple[str, str]], catalog: Catalog, unusable: list[Unusable]) -> list[Planned]:
    """The shards that jobs run, by the jobs' names and pages; a name that says of no suite is added to `unusable`."""
    planned = []
    for name, page in jobs:
        try:
            job = job_name(name, catalog)
        except UsageError as error:
            words = "; ".join(problem.what for problem in error.problems)
            problem = Problem(
                where=name, what=f"was planned, and is no job of a suite: {words or error.what}"
            )
            unusable.append(Unusable(problem=problem, code=ExitCode.USAGE))
            continue
        shard = SuiteShard(suite=job.suite.name, shard=job.shard or Shard(index=1, count=1))
        planned.append(Planned(shard=shard, page=page))
    return planned


class RunGatherer:
    """Reads sources one by one; what is wrong with one of them keeps none of the others from being read.

    Afterwards `found` are the runs, with their files below `into`, `unusable` what could not be read, and `planned` the
    shards of a run of Actions, None when no source was the link of one.
    """

    def __init__(self, into: Path, catalog: Catalog, environ: Mapping[str, str], *, api: str = "") -> None:
        self._into = into
        self._catalog = catalog
        self._environ = environ
        self._api = api
        self.found: list[Found] = []
        self.unusable: list[Unusable] = []
        self.planned: list[Planned] | None = None

    def read(self, source: str) -> None:
        """Read one source."""
        try:
            if source.startswith(("http://", "https://")):
                self._link(source)
            elif (path := Path(source).expanduser()).is_dir():
                self._folder(path)
            elif path.name in ("events.jsonl", "plan.json") and path.is_file():
                self._run(path.parent, str(path.parent))
            elif path.is_file():
                self._file(path)
            else:
                self._wrong(source, "is not a run folder, a zip archive or a link", EXAMPLE)
        except CiError as error:
            self._add(source, error)

    def _link(self, source: str) -> None:
        """The artifacts of a run of Actions, and its jobs, which say what there has to be."""
        link = parse_link(source)
        base = api_base(link, self._environ, self._api)
        say(f"asking {base.url} ({base.why})")
        with GitHub(base, say) as github:
            if not link.run:
                link = replace(link, run=int(github.job(link)["run_id"]))
            if not link.artifact:
                self._jobs(github, link)
            artifacts = github.artifacts(link)
            chosen = [each for each in artifacts if link.artifact in (0, each.get("id"))]
            before = len(self.found), len(self.unusable)
            for each in chosen:
                where = f"artifact {each.get('name')} of run {link.run}"
                try:
                    if each.get("expired"):
                        raise UsageError(
                            f"{where} has expired", cause="its repository keeps artifacts for some days"
                        )
                    data = github.artifact(link, int(each["id"]))
                    self._archive(io.BytesIO(data), where, needed=False)
                except CiError as error:
                    self._add(where, error)
            if (len(self.found), len(self.unusable)) == before:
                self._nothing(source, f"{len(chosen)} artifacts, none of them with a run folder")

    def _jobs(self, github: GitHub, link: Link) -> None:
        jobs = [job for job in github.jobs(link) if job.get("conclusion") != "skipped"]
        named = [(str(job.get("name", "")), str(job.get("html_url", ""))) for job in jobs]
        suites = [(name, page) for name, page in named if looks_like_a_job(name, self._catalog)]
        self.planned = (self.planned or []) + planned_of(suites, self._catalog, self.unusable)

    def _folder(self, folder: Path) -> None:
        runs = sorted(path.parent for path in folder.rglob("events.jsonl"))
        archives = sorted(folder.rglob("*.zip"))
        # reports among the runs, and this one so far, hold copies
        runs = [run for run in runs if not self._is_copy(run, folder)]
        for run in runs:
            self._run(run, str(run))
        for path in archives:
            self._file(path)
        if not runs and not archives:
            self._nothing(str(folder), "no run folder and no zip archive in it")

    def _is_copy(self, run: Path, source: Path) -> bool:
        report = run.parent.parent
        if run.resolve().is_relative_to(self._into.resolve()):
            return True
        return run.parent.name == REPORTED and report != source and (report / "report.html").is_file()

    def _file(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                if file.read(len(ZIP)) != ZIP:
                    self._wrong(str(path), "is not a zip archive", EXAMPLE)
                    return
            self._archive(path, str(path), needed=True)
        except CiError as error:
            self._add(str(path), error)
        except OSError as error:
            self._wrong(str(path), f"cannot be read: {error.strerror}", f"ls -l {path}")

    def _archive(self, file: Path | io.BytesIO, where: str, *, needed: bool) -> None:
        with RunArchive(file, where) as archive:
            if needed and not archive.runs:
                self._nothing(where, "no run folder in it")
            for run in archive.runs:
                try:
                    with self._beside(run.name or Path(where).stem) as folder:
                        archive.unpack(run, folder, logs=True)
                    self._read(folder, f"{where}:{run}")
                except CiError as error:  # of one run: the others of the archive are read
                    self._add(f"{where}:{run}", error)

    def _run(self, source: Path, where: str) -> None:
        with self._beside(source.resolve().name) as folder:
            for file in ("plan.json", "events.jsonl"):
                if (source / file).is_file():
                    _copy(str(source / file), str(folder / file))
            if (source / "logs").is_dir():
                shutil.copytree(source / "logs", folder / "logs", copy_function=_copy)
        self._read(folder, where)

    def _read(self, folder: Path, where: str) -> None:
        """Add the run of a folder below `into`, or what is wrong with it."""
        try:
            record, plan = RunFolder(path=folder).record(), read_plan(folder)
        except CiError as error:
            self._add(where, error, folder)
            return
        if not record.start.run:
            self._wrong(where, "its record has no beginning", "the run was ended while it started")
            return
        self.found.append(
            Found(where=where, folder=str(folder.relative_to(self._into)), record=record, plan=plan)
        )

    @contextmanager
    def _beside(self, name: str) -> Iterator[Path]:
        """A new folder for a run's files, named as the run is.

        Raises:
            InfrastructureError: it cannot be made or written.
        """
        plain = re.sub(r"[^\w.-]", "_", name).lstrip(".") or "run"
        runs = self._into / REPORTED
        names = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        folder = runs / next(name for name in names if not (runs / name).exists())
        with writing(folder):
            folder.mkdir(parents=True)
            yield folder

    def _add(self, where: str, error: CiError, folder: Path | None = None) -> None:
        what = error.what if folder is None else error.what.replace(str(folder), where)
        what = what.removeprefix(f"{where} ")
        hint = "; ".join(part for part in (*map(str, error.problems), error.cause, error.then) if part)
        problem = Problem(where=where, what=what, hint=hint)
        self.unusable.append(Unusable(problem=problem, code=error.exit_code))

    def _wrong(self, where: str, what: str, hint: str) -> None:
        self.unusable.append(
            Unusable(problem=Problem(where=where, what=what, hint=hint), code=ExitCode.USAGE)
        )

    def _nothing(self, where: str, what: str) -> None:
        self.unusable.append(Unusable(problem=Problem(where=where, what=what), code=ExitCode.INFRASTRUCTURE))


def _copy(source: str, target: str) -> None:
    """The same file under another name; a copy where that is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
