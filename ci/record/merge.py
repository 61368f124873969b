"""The runs of a workflow as one record, and everything that keeps them from being the whole of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ci.catalog.verdicts import Verdict
from ci.errors import ExitCode, Problem, worst
from ci.plan.model import Plan, SuiteWork
from ci.plan.shards import Shard
from ci.record.events import AgentStarted, ExecutorFailed, RunStarted
from ci.record.fold import exit_code
from ci.record.model import Attempt, Part, RunRecord, ServerStart, SuiteRecord, SuiteShard, TestRecord
from ci.record.moments import moment_s
from ci.record.state import worst_reason
from ci.record.values import PhaseOutcome

__all__ = ["NOT_WHOLE", "Found", "Merged", "Planned", "Unusable", "merge"]

NOT_WHOLE = "the report is not of the whole workflow"

_WHOLE = Shard(index=1, count=1)
# codes that say nothing about the other runs: a shard may be empty, or hold only skipped tests
_OF_ONE_RUN = (ExitCode.OK, ExitCode.NOTHING_SELECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run that was read: `where` it was found, and the folder beside the merged report in which its files are."""

    where: str
    folder: str
    record: RunRecord
    plan: Plan
    page: str = ""

    @property
    def shards(self) -> tuple[SuiteShard, ...]:
        """What its plan holds."""
        return tuple(
            SuiteShard(suite=suite.name, shard=suite.shard or _WHOLE) for suite in self.plan.work.suites
        )

    @property
    def name(self) -> str:
        """`stage-b-test-1-gpu-small-amd 3/14`."""
        return ", ".join(map(str, self.shards)) or self.record.start.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A shard that the workflow was to run; `page` is the address of its job, empty when it is not known."""

    shard: SuiteShard
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A source or a run that is not part of the merged record, or a shard without one, and the code that it ends with."""

    problem: Problem
    code: ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The record of all runs together. `unusable` is what is wrong, `notes` what a reader has to know beside it."""

    record: RunRecord
    unusable: tuple[Unusable, ...]
    notes: tuple[str, ...]

    @property
    def code(self) -> int:
        """0 when the record is the whole workflow, whatever its tests ended with."""
        return worst(each.code for each in self.unusable)


def merge(
    found: Sequence[Found], planned: Sequence[Planned] | None, unreadable: Sequence[Unusable] = ()
) -> Merged:
    """One record of these runs.

    Runs of another commit or plan than most are left out, of two runs of one shard the older one.

    Args:
        found: runs in any order.
        planned: what the workflow was to run; None when that is not known, so that each suite has all of its shards.
        unreadable: the sources that could not be read.
    """
    unusable = list(unreadable)
    notes: list[str] = []
    alike = list(_of_one_plan(found, unusable))
    kept = list(_newest(alike, unusable, notes))
    kept.sort(key=lambda run: [(each.suite, each.shard.index) for each in run.shards])
    unusable += _missing(kept, planned)
    notes += _not_planned(kept, planned)
    pages = {row.shard: row.page for row in planned or ()}
    return Merged(record=_record(kept, unusable, notes, pages), unusable=tuple(unusable), notes=tuple(notes))


# --- which runs belong together -----------------------------------------------------------------------------


def _of_one_plan(found: Sequence[Found], unusable: list[Unusable]) -> Iterator[Found]:
    """The runs without those that differ from most in what all runs of a workflow, or all shards of a suite, share."""
    usual = _usual(tuple(_shared(run.plan)) for run in found)
    same = [run for run in found if tuple(_shared(run.plan)) == usual]
    by_suite = {
        suite: _usual(
            tuple(_of_suite(run.plan, work))
            for run in same
            for work in run.plan.work.suites
            if work.name == suite
        )
        for suite in {work.name for run in same for work in run.plan.work.suites}
    }
    for run in found:
        wrong = dict(_unlike(_shared(run.plan), usual))
        if not wrong:
            for suite in run.plan.work.suites:
                wrong |= dict(_unlike(_of_suite(run.plan, suite), by_suite[suite.name]))
        if wrong:
            words = "; ".join(
                f"{path} is {mine}, in the others {theirs}" for path, (mine, theirs) in wrong.items()
            )
            problem = Problem(
                where=run.where,
                what=f"the run of {run.name} is of another plan and was left out: {words}",
                hint="name the runs of one workflow",
            )
            unusable.append(Unusable(problem=problem, code=ExitCode.USAGE))
        else:
            yield run


_Fields = Iterable[tuple[str, str]]


def _shared(plan: Plan) -> _Fields:
    """What all runs of a workflow have in common."""
    work = plan.work
    yield "commit", work.commit[:12]
    yield "checkout", work.checkout[:12]
    yield "the tests' content", work.content.tests[:12]
    yield "engine", work.engine
    yield "rehearsal", "yes" if work.rehearsal else "no"


def _of_suite(plan: Plan, suite: SuiteWork) -> _Fields:
    """What all shards of a suite have in common besides."""
    work = plan.work
    yield "the number of shards", str((suite.shard or _WHOLE).count)
    yield "hardware class", work.hardware_class
    yield "engine version", work.engine_version
    yield "engine arguments", " ".join(work.engine_args)
    yield "image", "none" if work.image is None else work.image[:19] or "unresolved"
    yield "arguments for pytest", " ".join(work.pytest_args)
    yield "attempts", str(suite.attempts)
    yield "environment", " ".join(f"{name}={value}" for name, value in sorted(suite.env.items()))


def _usual(rows: Iterable[tuple[tuple[str, str], ...]]) -> tuple[tuple[str, str], ...]:
    """The most frequent row, the first of equals."""
    counted = Counter(rows).most_common(1)
    return counted[0][0] if counted else ()


def _unlike(mine: _Fields, usual: _Fields) -> Iterator[tuple[str, tuple[str, str]]]:
    for (path, one), (_, other) in zip(mine, usual, strict=True):
        if one != other:
            yield path, (one or "none", other or "none")


def _newest(runs: Iterable[Found], unusable: list[Unusable], notes: list[str]) -> Iterator[Found]:
    """Of the runs of one shard the newest."""
    held: dict[SuiteShard, Found] = {}
    for run in sorted(runs, key=lambda run: run.record.start.time, reverse=True):
        newer = next((held[each] for each in run.shards if each in held), None)
        if newer is None:
            held |= dict.fromkeys(run.shards, run)
            yield run
        elif newer.record.start.run == run.record.start.run and newer.plan.digest == run.plan.digest:
            notes.append(f"{run.name}: one run is in {newer.where} and in {run.where}; it counts once")
        elif newer.plan.digest == run.plan.digest:
            times = f"{run.record.start.time} and {newer.record.start.time}"
            notes.append(f"{run.name}: run twice, {times}; the newer one counts, {newer.where}")
        else:
            problem = Problem(
                where=run.where,
                what=f"the run of {run.name} is of another plan than the newer {newer.where}, and was left out",
                hint=f"nox -s plan -- --diff {run.where} {newer.where}",
            )
            unusable.append(Unusable(problem=problem, code=ExitCode.USAGE))


def _missing(kept: Sequence[Found], planned: Sequence[Planned] | None) -> Iterator[Unusable]:
    """The shards of which there is no run."""
    have = {each for run in kept for each in run.shards}
    if planned is None:
        wanted = [
            SuiteShard(suite=suite, shard=Shard(index=index, count=count))
            for suite, count in dict.fromkeys(
                (each.suite, each.shard.count) for each in sorted(have, key=str)
            )
            for index in range(1, count + 1)
        ]
        hint = "not given; or empty, where a suite has fewer tests than shards"
    else:
        wanted = [row.shard for row in planned]
        hint = "its job ended before its run folder was kept, or no runner took it"
    missing: dict[tuple[str, int], list[Shard]] = {}
    for each in dict.fromkeys(wanted):
        if each not in have:
            missing.setdefault((each.suite, each.shard.count), []).append(each.shard)
    for (suite, count), shards in missing.items():
        words = f"no run of shard{'s' if len(shards) > 1 else ''} {', '.join(map(str, shards))} was found"
        what = "no run of it was found" if count == 1 else words
        problem = Problem(where=suite, what=what, hint=hint)
        yield Unusable(problem=problem, code=ExitCode.INFRASTRUCTURE)


def _not_planned(kept: Sequence[Found], planned: Sequence[Planned] | None) -> Iterator[str]:
    wanted = {row.shard for row in planned or ()}
    for run in kept:
        if planned is not None and not wanted & set(run.shards):
            yield f"{run.name}: not among the jobs that were planned ({run.where})"


# --- one record ---------------------------------------------------------------------------------------------


def _record(
    runs: Sequence[Found], unusable: Sequence[Unusable], notes: Sequence[str], pages: dict[SuiteShard, str]
) -> RunRecord:
    moments = [moment for run in runs if (moment := moment_s(run.record.start.time)) is not None]
    first_s = min(moments, default=0.0)
    parts = tuple(_part(run, first_s, pages) for run in runs)
    records = [part.record for part in parts]
    codes = {exit_code(record) for record in records} - set(_OF_ONE_RUN)
    return RunRecord(
        start=_start([run.record.start for run in runs]),
        agent=AgentStarted(
            host=_several(record.agent.host for record in records),
            platform=_several(record.agent.platform for record in records),
        ),
        duration_s=max((record.duration_s for record in records), default=0.0),
        suites=tuple(
            SuiteRecord(id=suite) for suite in dict.fromkeys(s.id for r in records for s in r.suites)
        ),
        tests=tuple(test for record in records for test in record.tests),
        failures=(
            *_failures(unusable),
            *(
                replace(failure, what=f"{part.name}: {failure.what}")
                for part in parts
                for failure in part.record.failures
            ),
        ),
        phases=tuple(
            replace(phase, phase=f"{part.name}: {phase.phase}")
            for part in parts
            for phase in part.record.phases
            if phase.outcome not in (PhaseOutcome.OK, PhaseOutcome.SKIPPED)
        ),
        leftovers=tuple(leftover for record in records for leftover in record.leftovers),
        lost=tuple(each for record in records for each in record.lost),
        notes=(*notes, *(f"{part.name}: {note}" for part in parts for note in part.record.notes)),
        problems=tuple(f"{part.name}: {problem}" for part in parts for problem in part.record.problems),
        ended_reason=worst_reason([record.ended_reason for record in records if record.tests]),
        recorded_exit=worst(codes) if codes else None,
        parts=parts,
    )


def _failures(unusable: Sequence[Unusable]) -> Iterator[ExecutorFailed]:
    """What is wrong as a failure of the workflow: no reader may take what is left for all of it."""
    if unusable:
        problems = tuple(str(each.problem) for each in unusable)
        yield ExecutorFailed(what=NOT_WHOLE, problems=problems, verdict=Verdict.INFRA)


def _part(run: Found, first_s: float, pages: dict[SuiteShard, str]) -> Part:
    """The run with times from the start of the first one, and with its logs where they are beside the report."""
    moment = moment_s(run.record.start.time)
    later_s = moment - first_s if moment is not None else 0.0
    record = run.record
    moved = replace(
        record,
        duration_s=record.duration_s + later_s,
        tests=tuple(_moved(test, later_s, run.folder) for test in record.tests),
        phases=tuple(
            replace(
                phase,
                started_s=phase.started_s + later_s,
                log=f"{run.folder}/{phase.log}" if phase.log else "",
            )
            for phase in record.phases
        ),
        workers=tuple(
            replace(
                worker,
                started_s=worker.started_s + later_s,
                ended_s=worker.ended_s + later_s if worker.ended_s is not None else None,
            )
            for worker in record.workers
        ),
    )
    page = run.page or next((pages[each] for each in run.shards if pages.get(each)), "")
    return Part(shards=run.shards, record=moved, run_s=record.duration_s, page=page)


def _moved(test: TestRecord, later_s: float, folder: str) -> TestRecord:
    return replace(
        test, attempts=tuple(_moved_attempt(attempt, later_s, folder) for attempt in test.attempts)
    )


def _moved_attempt(attempt: Attempt, later_s: float, folder: str) -> Attempt:
    log = f"{folder}/{attempt.start.log}" if attempt.start.log else ""
    servers = tuple(
        ServerStart(started_s=each.started_s + later_s, ready_s=each.ready_s + later_s)
        for each in attempt.servers
    )
    start = replace(attempt.start, log=log)
    return replace(attempt, started_s=attempt.started_s + later_s, start=start, servers=servers)


def _start(starts: Sequence[RunStarted]) -> RunStarted:
    """What the runs have in common, and lists of what they have not."""
    left_out = [{row.suite for row in start.skipped_suites} for start in starts]
    in_none = set[str].intersection(*left_out) if left_out else set()
    first = starts[0] if starts else RunStarted()
    return RunStarted(
        time=min((start.time for start in starts if start.time), default=""),
        run="1 run" if len(starts) == 1 else f"{len(starts)} runs",
        stage=_several(start.stage for start in starts) or "no run",
        rehearsal=any(start.rehearsal for start in starts),
        rehearsal_because=_several(start.rehearsal_because for start in starts),
        stood_in=tuple(dict.fromkeys(words for start in starts for words in start.stood_in)),
        hardware_class=_several(start.hardware_class for start in starts),
        engine=_several(start.engine for start in starts),
        executor=_several(start.executor for start in starts),
        never_run=_several(start.never_run for start in starts),
        commit=_several(start.commit for start in starts),
        python=_several(start.python for start in starts),
        github=first.github,
        tests=tuple(test for start in starts for test in start.tests),
        skipped_suites=tuple(
            {
                row.suite: row for start in starts for row in start.skipped_suites if row.suite in in_none
            }.values()
        ),
        disabled=tuple(dict.fromkeys(row for start in starts for row in start.disabled)),
        quarantine=tuple(dict.fromkeys(row for start in starts for row in start.quarantine)),
        empty_shards=tuple(row for start in starts for row in start.empty_shards),
        unverified=tuple(dict.fromkeys(field for start in starts for field in start.unverified)),
    )


def _several(values: Iterable[str]) -> str:
    """The values with commas between them, each once."""
    return ", ".join(dict.fromkeys(value for value in values if value))
