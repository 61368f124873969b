"""From sources (links, logs, run folders, archives) to a triage of each job in them."""

import gzip
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ci.agent.judge.symptom import symptom_of
from ci.catalog.catalog import Catalog
from ci.catalog.verdicts import Status, Verdict
from ci.errors import CiError, ExitCode, NothingSelectedError, UsageError
from ci.execute.run_folder import RunFolder, read_plan
from ci.facts.gather import find_today
from ci.facts.tree.catalog import view_tree
from ci.github.api import GitHub, Link, api_base, parse_link
from ci.github.job_names import JobName, job_name, looks_like_a_job
from ci.plan.tree.model import TreeFacts
from ci.report.console import say
from ci.repro.archive import ZIP, RunArchive
from ci.repro.lines import repeat_lines
from ci.repro.log.judging import judge_piece
from ci.repro.log.ours import Around, read_around, read_results
from ci.repro.log.text import decode_log
from ci.repro.log.values import JobLog
from ci.repro.sglang_job import from_jobs
from ci.repro.source import Fact, Understood, from_plan
from ci.repro.triage.judged import Judging, from_record
from ci.repro.triage.values import Ran, TriagedJob, TriagedTest
from ci.repro.understand import ReadLog, from_log, read_log
from ci.system.file_lock import cache_dir

__all__ = ["TriageOptions", "triage_sources"]

EXAMPLE: Final = "./inv triage LOG, .runs/RUN, ARTIFACT.zip, - or https://github.com/.../job/1"
_GZIP = b"\x1f\x8b"
# of what a compressed log holds; logs of a day's job have up to 60 MB
_LOG_BYTES: Final = 512 << 20
_FAILED: Final = ("failure", "timed_out", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageOptions:
    """The sources, and how they are read and shown. `checkout` is SGLang's tree here, for lines that fit it."""

    sources: tuple[str, ...]
    checkout: str = ""
    api: str = ""
    markdown: bool = False
    json: bool = False


_WHOLE_LOG: Final = (
    "./inv triage of the job's whole log, or of its link, names the test and the line that repeats it."
)


def triage_sources(options: TriageOptions, catalog: Catalog, environ: Mapping[str, str]) -> list[TriagedJob]:
    """The jobs of all sources, in their order.

    Raises:
        UsageError: a source is nothing that is known, or cannot be read.
        NothingSelectedError: a link's run has no failed job.
    """
    view = view_tree(catalog, options.checkout, cache_dir(environ)) if options.checkout else None
    followed = view.catalog if view is not None else catalog
    judging = Judging(catalog=followed, today=find_today(environ)[0])
    reader = _Reader(options, judging, environ, view.facts if view is not None else None)
    return [job for source in options.sources for job in reader.read(source)]


class _Reader:
    def __init__(
        self, options: TriageOptions, judging: Judging, environ: Mapping[str, str], tree: TreeFacts | None
    ) -> None:
        self._options = options
        self._judging = judging
        self._catalog = judging.catalog
        self._environ = environ
        self._tree = tree

    def read(self, source: str) -> Iterator[TriagedJob]:
        """One source."""
        if source == "-":
            yield from self._data(sys.stdin.buffer.read(), "standard input")
        elif source.startswith(("http://", "https://")):
            yield from self._link(source)
        elif (path := Path(source).expanduser()).is_dir():
            yield from self._folder(path)
        elif path.is_file():
            yield from self._file(path)
        else:
            raise UsageError(
                f"{source!r} is not a file, a folder or a link",
                cause="a name alone says nothing of what happened",
                then=EXAMPLE,
            )

    # --- where it is ----------------------------------------------------------------------------------------

    def _link(self, source: str) -> Iterator[TriagedJob]:
        link = parse_link(source)
        base = api_base(link, self._environ, self._options.api)
        say(f"asking {base.url} ({base.why})")
        with GitHub(base, say) as github:
            if link.job:
                jobs: Sequence[Mapping[str, Any]] = [github.job(link)]
            else:
                every = github.jobs(link)
                jobs = [job for job in every if job.get("conclusion") in _FAILED]
                if not jobs:
                    raise NothingSelectedError(
                        f"none of the {len(every)} jobs of run {link.run} failed",
                        then="name a job by its own address",
                    )
            for job in jobs:
                yield from self._job(github, replace(link, job=int(job["id"])), job)

    def _job(self, github: GitHub, link: Link, job: Mapping[str, Any]) -> Iterator[TriagedJob]:
        name, where = str(job.get("name", "")), str(job.get("html_url") or f"job {link.job}")
        try:
            text = decode_log(github.log(link), where=where)
        except UsageError as error:
            yield TriagedJob(
                name=name, kind="job of Actions", source=where, problem=f"{error.what}; {error.cause}"
            )
            return
        yield from self._text(text, where, name=name)

    def _folder(self, folder: Path) -> Iterator[TriagedJob]:
        runs = sorted(path.parent for path in folder.rglob("events.jsonl"))
        for run in runs:
            yield self._run(run, str(run))
        logs = () if runs else sorted(path for path in folder.rglob("*") if path.suffix in (".log", ".txt"))
        for path in logs:
            yield from self._file(path)
        if not runs and not logs:
            raise UsageError(f"{folder} has no record of a run and no log", then=EXAMPLE)

    def _run(self, folder: Path, source: str) -> TriagedJob:
        record = RunFolder(path=folder).record()
        try:
            found = from_plan(
                read_plan(folder), kind="run folder", where=source, failed=record.nodes_to_repeat
            )
            lines = {"repeat what failed": f"./inv repro {source} --run --failed"} if found.failed else {}
            lines |= repeat_lines(found, self._catalog, checkout=self._options.checkout)
        except CiError:  # of another version, or lost: what happened is told all the same
            lines = {}
        return from_record(record, source=source, lines=lines)

    def _file(self, path: Path) -> Iterator[TriagedJob]:
        if path.name in ("events.jsonl", "plan.json") and (path.parent / "events.jsonl").is_file():
            yield self._run(path.parent, str(path.parent))
            return
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}", then=f"ls -l {path}") from error
        yield from self._data(data, str(path))

    def _data(self, data: bytes, where: str) -> Iterator[TriagedJob]:
        if data.startswith(ZIP):
            yield from self._archive(data, where)
            return
        if data.startswith(_GZIP):
            try:
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_LOG_BYTES)
            except (OSError, EOFError) as error:
                raise UsageError(f"{where} is a damaged gzip file", cause=str(error)) from error
        yield from self._text(decode_log(data, where=where), where)

    def _archive(self, data: bytes, where: str) -> Iterator[TriagedJob]:
        """An artifact with run folders, or the logs of a run as GitHub packs them."""
        with RunArchive(io.BytesIO(data), where) as archive:
            for run in archive.runs:
                yield self._packed_run(archive, run, f"{where}:{run}")
            logs = [name for name in archive.names if PurePosixPath(name).suffix in (".log", ".txt")]
            # each job's whole log lies beside a folder with those of its steps
            top = [name for name in logs if "/" not in name]
            for name in () if archive.runs else top or logs:
                yield from self._data(archive.read(name), f"{where}:{name}")
        if not archive.runs and not logs:
            raise UsageError(f"{where} has no record of a run and no log", then=EXAMPLE)

    def _packed_run(self, archive: RunArchive, run: PurePosixPath, source: str) -> TriagedJob:
        with tempfile.TemporaryDirectory() as made:
            archive.unpack(run, Path(made), logs=False)
            found = self._run(Path(made), source)
        # a packed run is no source of `repro`
        return replace(found, lines={what: line for what, line in found.lines.items() if "./inv" not in line})

    # --- what it says ---------------------------------------------------------------------------------------

    def _text(self, text: str, where: str, *, name: str = "") -> Iterator[TriagedJob]:
        read = read_log(text)
        if read.capsules:
            yield self._own(read, text, where, name)
            return
        for job in read.jobs:
            job.name = job.name or name
        # of many jobs those that ran no test of AMD's are of no interest
        telling = [job for job in read.jobs if job.amd] or read.jobs
        for job in telling:
            yield self._sglang(job, where)

    def _sglang(self, job: JobLog, where: str) -> TriagedJob:
        named = self._named(job.name)
        found = from_jobs([job], self._catalog, where=where, named=named, checkout=self._options.checkout)
        if found is None:
            return self._piece(job, where)
        lines = repeat_lines(found, self._catalog, checkout=self._options.checkout)
        return self._judging.job(job, found, lines, source=where, kind="job of SGLang's CI")

    def _piece(self, job: JobLog, where: str) -> TriagedJob:
        """Lines of no run that is known: what they say by themselves."""
        judgement = judge_piece(job, self._catalog.verdict_rules)
        lines = sum(bool(line.text.strip()) for line in job.lines)
        verdict = Verdict.of_name(judgement.verdict)
        said = verdict is not Verdict.UNKNOWN
        own = verdict.row.exit_code is ExitCode.TESTS_FAILED
        return TriagedJob(
            name=job.name,
            kind="piece of a log",
            source=where,
            stopped="a failure by these lines alone" if said else "",
            verdict=verdict if said else None,
            evidence=judgement.evidence if said else (),
            symptom=judgement.symptom,
            then=_WHOLE_LOG if own else verdict.row.then,
            problem=f"{lines} lines without a run: neither a capsule nor a call of run_suite.py for AMD",
        )

    def _named(self, name: str) -> JobName | None:
        try:
            known = name and looks_like_a_job(name, self._catalog, self._tree)
            return job_name(name, self._catalog, self._tree) if known else None
        except UsageError:
            return None

    def _own(self, read: ReadLog, text: str, where: str, name: str) -> TriagedJob:
        """Our own log: its run was judged when it ran."""
        problem, found, lines = "", None, {}
        try:
            found = from_log(text, self._catalog, where=where)
            lines = repeat_lines(found, self._catalog, checkout=self._options.checkout)
        except UsageError as error:
            problem = error.what
        results = read_results(read.lines)
        around = read_around(read.lines)
        verdict = (around.verdict or Verdict.INFRA) if around.failed else None
        bad = [each for each in results if each.status not in (Status.PASSED, Status.SKIPPED, Status.XFAILED)]
        return TriagedJob(
            name=name,
            kind="log of this project's run",
            source=where,
            set_up=(*_plan_facts(found), *_phases(around)),
            stopped=f"it failed outside the tests: {around.failed}" if around.failed else "",
            verdict=verdict,
            evidence=around.evidence,
            then=verdict.row.then if verdict is not None else "",
            ran=(
                Ran(
                    what=found.asked.stage if found is not None else "",
                    amount=len(results),
                    passed=len(results) - len(bad),
                    failed=sum(each.status is Status.FAILED for each in bad),
                    flaky=sum(each.status is Status.FLAKY for each in bad),
                ),
            ),
            tests=tuple(
                TriagedTest(
                    file=each.file,
                    suite=found.asked.suite if found is not None else "",
                    status=each.status,
                    verdict=each.verdict,
                    cases=tuple(each.cases),
                    evidence=tuple(each.evidence),
                    symptom=symptom_of(None, each.evidence[0]) if each.evidence else "",
                    then=each.verdict.row.then,
                )
                for each in bad
            ),
            lines=lines,
            problem=problem or (found.problem if found is not None else ""),
        )


def _phases(around: Around) -> Iterator[Fact]:
    """What each phase did, `tests` left out: their own lines say more."""
    for phase, words in around.phases.items():
        if phase != "tests":
            yield Fact(what=f"phase {phase}", value=words, source="the log")


def _plan_facts(found: Understood | None) -> tuple[Fact, ...]:
    """What the plan of a run says of where and with what it ran."""
    wanted = ("stage", "commit", "checkout", "hardware class", "engine", "image", "executor", "digest")
    return tuple(fact for fact in found.facts if fact.what in wanted) if found is not None else ()
