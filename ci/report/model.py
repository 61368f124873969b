"""What all final reports say about a record, in words and rows; each report decides how it looks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ci.catalog.verdicts import Status
from ci.errors import EXIT_ROWS, ExitCode
from ci.record import quarantine
from ci.record.events import Case, Metric, SlotLost
from ci.record.fold import exit_code
from ci.record.model import Attempt, PhaseRecord, RoleRecord, RunRecord, TestRecord
from ci.record.quarantine import Became, QuarantineRecord
from ci.record.values import GithubRun
from ci.report.text import case_name, duration, quantity, size
from ci.report.workers import worker_rows

__all__ = [
    "BoundState",
    "Headline",
    "Measured",
    "Quarantined",
    "Result",
    "Trouble",
    "baseline_words",
    "bound_words",
    "case_place",
    "counts",
    "ending",
    "expected_failures",
    "facts",
    "failed_by_verdict",
    "headline",
    "left_out",
    "lost_lines",
    "lost_words",
    "measured",
    "measured_by",
    "phase_amount",
    "phase_rows",
    "quarantined",
    "rehearsal_words",
    "result",
    "role_words",
    "roles",
    "runs_of",
    "shared_symptoms",
    "slowest",
    "symptom",
    "symptom_words",
    "troubles",
    "unfinished",
    "verdict_words",
]

# statuses of tests that have an attempt that did not pass, in the order of the reports
_TROUBLED = (Status.FAILED, Status.QUARANTINED, Status.FLAKY)
# a screen's worth
_SLOWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How the run ended: the process's exit code and the same in words."""

    code: int
    words: str

    @property
    def ok(self) -> bool:
        """Whether the run may be called passed."""
        return self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """An attempt that did not pass, of a test that failed or that only passed later."""

    test: TestRecord
    attempt: Attempt

    @property
    def final(self) -> bool:
        """Whether this attempt decided the test's status."""
        return self.attempt is self.test.last and self.test.status is Status.FAILED


class BoundState(StrEnum):
    """What a bound makes of a metric.

    `reported only` is broken, and nothing follows. `unmeasured` has no value, so it does not hold; excused by what the engine
    lacks nothing follows.
    """

    HOLDS = "holds"
    BROKEN = "broken"
    REPORTED_ONLY = "reported only"
    REPORT_ONLY = "report only"
    UNMEASURED = "unmeasured"
    EXCUSED = "unmeasured, excused"
    NO_BOUND = "no bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric with the test that measured it, or that should have: `because` is then what excuses it, or empty.

    `is_reason`: it is what the evidence of the test's failure begins with.
    """

    test: TestRecord
    attempt: Attempt
    metric: Metric
    has_value: bool = True
    because: str = ""
    is_reason: bool = False

    @property
    def value(self) -> str:
        """`0.8125`, `41.2 token/s` or `-`."""
        return quantity(self.metric.value, self.metric.unit) if self.has_value else "-"

    @property
    def state(self) -> BoundState:
        """What its bound makes of it."""
        bound = self.metric.bound
        if not self.has_value:
            return BoundState.EXCUSED if self.because else BoundState.UNMEASURED
        if bound is None:
            return BoundState.NO_BOUND
        if not bound.op:
            return BoundState.REPORT_ONLY
        if bound.ok:
            return BoundState.HOLDS
        return BoundState.REPORTED_ONLY if bound.report_only else BoundState.BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A quarantine row and what became of its test."""

    row: QuarantineRecord
    state: Became

    @property
    def words(self) -> str:
        """The same in a sentence, after the test's name."""
        return quarantine.words(self.row, self.state)


def quarantined(record: RunRecord) -> tuple[Quarantined, ...]:
    """Every row that held for a test of this run, failed ones first."""
    found = [
        Quarantined(row=row, state=Became.NOT_RUN if test.last is None else test.last.became(row))
        for test in record.tests
        for row in test.quarantine
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda item: item.state is not Became.FAILED))


def result(record: RunRecord) -> Result:
    """The result, with the number of flaky and quarantined tests where everything that gates passed in the end."""
    code = exit_code(record)
    words = EXIT_ROWS[code].result if code in EXIT_ROWS else "ended with an unknown code"
    flaky = record.count(Status.FLAKY)
    if code == 0 and not record.tests:
        words = "nothing to run: more shards than tests"
    elif code == 0 and flaky:
        words += f", {flaky} of them only after another attempt"
    if code == 0 and (held := record.count(Status.QUARANTINED)):
        words += f"; {held} failed in quarantine and do not gate"
    excused = [
        f"{count} {status.plain}"
        for status in (Status.NEEDS_GPU, Status.NOT_JUDGED)
        if (count := record.count(status))
    ]
    if code == 0 and excused:
        words += f"; {', '.join(excused)}: no pass"
    if code == 0 and (debt := sum(map(len, expected_failures(record).values()))):
        words += f"; {debt} case{'s are' if debt > 1 else ' is'} expected to fail, with no date: no pass"
    return Result(code=code, words=words)


def baseline_words(record: RunRecord) -> str:
    """The headline of a comparison: what passed in the other run and fails here; empty without one."""
    baseline = record.start.baseline
    if baseline is None:
        return ""
    other = f"{baseline.run} (commit {baseline.commit[:12]})"
    if not record.regressions:
        return f"nothing that passed in {other} fails here"
    names = ", ".join(test.id for test in record.regressions)
    return f"{len(record.regressions)} passed in {other} and fail here: {names}"


def rehearsal_words(record: RunRecord) -> str:
    """The sentence that every report of a rehearsal shows, empty for a run on the stage's own hardware."""
    if not record.start.rehearsal:
        return ""
    because = f" because {record.start.rehearsal_because}" if record.start.rehearsal_because else ""
    stood_in = f" Stood in: {'; '.join(record.start.stood_in)}." if record.start.stood_in else ""
    return f"REHEARSAL{because}: same plan, tests and bounds table, never a pass of the stage.{stood_in}"


def counts(record: RunRecord) -> dict[str, int]:
    """Tests by status, in words and in the order of `Status`, statuses without a test left out."""
    found = {status.plain: record.count(status) for status in Status}
    return {words: count for words, count in found.items() if count}


def failed_by_verdict(record: RunRecord) -> str:
    """` (6 product, 2 infra)`, most first; empty where fewer than two tests failed."""
    verdicts = Counter(test.verdict.value for test in record.tests if test.status is Status.FAILED)
    if verdicts.total() < 2:
        return ""
    return f" ({', '.join(f'{count} {verdict}' for verdict, count in verdicts.most_common())})"


def facts(record: RunRecord) -> dict[str, str]:
    """What the run was, by name; unknown values are empty."""
    github = record.start.github or GithubRun()
    return {
        "run": record.start.run,
        "stage": record.title,
        "hardware": record.start.hardware_class,
        "engine": record.start.engine,
        "executor": record.start.executor,
        "host": record.agent.host,
        "nodes": ", ".join(worker.name for worker in record.workers),
        "Slurm job": " on cluster ".join(filter(None, (record.job.job, record.job.cluster)))
        if record.job is not None
        else "",
        "platform": record.agent.platform,
        "Python": record.start.python,
        "commit": record.start.commit,
        "plan": record.start.plan_digest,
        "started": record.start.time,
        "took": duration(record.duration_s),
        "event": github.event,
        "job": github.run_url,
    }


def troubles(record: RunRecord) -> tuple[Trouble, ...]:
    """Every attempt that did not pass, those of tests that failed for good first, then those in quarantine.

    Tests with the same symptom follow each other.
    """
    tests = tuple(test for status in _TROUBLED for test in _by_symptom(record.having(status)))
    return tuple(
        Trouble(test=test, attempt=attempt)
        for test in tests
        for attempt in reversed(test.attempts)
        if not attempt.harmless
    )


def _by_symptom(tests: Iterable[TestRecord]) -> Iterator[TestRecord]:
    groups: dict[str, list[TestRecord]] = {}
    for test in tests:
        groups.setdefault(symptom(test) or test.id, []).append(test)
    for group in groups.values():
        yield from group


def symptom(test: TestRecord) -> str:
    """What the newest attempt that did not pass ended with; empty where its agent named none."""
    return next((attempt.end.symptom for attempt in reversed(test.attempts) if not attempt.harmless), "")


def shared_symptoms(record: RunRecord) -> dict[str, tuple[TestRecord, ...]]:
    """Symptoms that several tests have, the most frequent first, with these tests."""
    groups: dict[str, list[TestRecord]] = {}
    for test in record.having(*_TROUBLED):
        if words := symptom(test):
            groups.setdefault(words, []).append(test)
    shared = {words: tuple(tests) for words, tests in groups.items() if len(tests) > 1}
    return dict(sorted(shared.items(), key=lambda item: -len(item[1])))


def symptom_words(words: str, tests: Sequence[TestRecord]) -> str:
    """`3 tests with the same symptom: RuntimeError: no GPU`."""
    return f"{len(tests)} tests with the same symptom: {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What a test ended with in one line: where, in which case (`more` others failed too), and the line that says why.

    `place` is `file:line`, or the file where no line is known.
    """

    place: str
    case: str = ""
    more: int = 0
    line: str = ""


def headline(test: TestRecord) -> Headline:
    """What a reader has to know first about a test; the line is empty for one that passed."""
    attempt = test.last
    if attempt is None:
        return Headline(place=test.id, line=test.not_run_because)
    if test.status is Status.FLAKY:
        attempt = next(each for each in reversed(test.attempts) if not each.harmless)
    end, failed = attempt.end, attempt.failed_cases
    if not failed:
        lines = (*end.evidence, *end.skip_reasons, *(case.message for case in attempt.expected_failures))
        return Headline(place=test.id, line=_first_line(next(iter(lines), "")))
    first = failed[0]
    # the evidence may lead to a process that ended before the case failed
    line = next(iter(end.evidence), "").removeprefix(f"{first.case}: ") or first.message or first.details
    return Headline(
        place=case_place(first) or test.id,
        case=case_name(first.case, test.id),
        more=len(failed) - 1,
        line=_first_line(line),
    )


def _first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "").strip()


def measured(record: RunRecord) -> tuple[Measured, ...]:
    """The metrics of each test's last attempt, what has to hold and does not first."""
    found = [row for test in record.tests for row in measured_by(test)]
    first = (BoundState.BROKEN, BoundState.UNMEASURED)
    return tuple(sorted(found, key=lambda item: item.state not in first))


def measured_by(test: TestRecord) -> Iterator[Measured]:
    """The metrics of a test's last attempt, then the rows that have no value."""
    if not test.attempts:
        return
    last = test.attempts[-1]
    for metric in last.metrics:
        yield Measured(test=test, attempt=last, metric=metric)
    reason = next((row for row in last.end.unmeasured if row.failed), None)
    for row in last.end.unmeasured:
        without = Metric(metric=row.metric, value=0.0, unit=row.unit, bound=row.bound)
        yield Measured(
            test=test,
            attempt=last,
            metric=without,
            has_value=False,
            because=row.because,
            is_reason=row is reason,
        )


def expected_failures(record: RunRecord) -> dict[str, tuple[str, ...]]:
    """The cases that are expected to fail, with how they ended: names by reason."""
    found: dict[str, list[str]] = {}
    for test in record.tests:
        for case in test.attempts[-1].expected_failures if test.attempts else ():
            found.setdefault(case.message or "no reason given", []).append(
                f"{case.case} ({case.outcome.words})"
            )
    return {reason: tuple(names) for reason, names in found.items()}


def runs_of(record: RunRecord) -> tuple[tuple[str, RunRecord], ...]:
    """The runs of a record with their names: itself alone, without one, unless it is a merged one."""
    return tuple((part.name, part.record) for part in record.parts) or (("", record),)


def phase_rows(record: RunRecord) -> tuple[PhaseRecord, ...]:
    """The executor's phases, those of a worker with its node, without `tests`, of which the tests' own rows say more."""
    return tuple(
        replace(phase, phase=f"{record.worker(phase.worker).name}: {phase.phase}") if phase.worker else phase
        for phase in record.phases
        if phase.phase != "tests"
    )


def phase_amount(phase: PhaseRecord) -> str:
    """`23.1 GiB` for a phase that moved bytes, else empty."""
    return size(phase.done) if phase.unit == "bytes" and phase.done else ""


def bound_words(metric: Metric) -> str:
    """`>= 0.8`, empty when nothing bounds the metric."""
    bound = metric.bound
    return f"{bound.op} {quantity(bound.limit, metric.unit)}" if bound and bound.op else ""


def slowest(record: RunRecord) -> tuple[TestRecord, ...]:
    """The tests that took longest, longest first."""
    ran = [test for test in record.tests if test.attempts]
    return tuple(sorted(ran, key=lambda test: -test.duration_s)[:_SLOWEST])


def left_out(record: RunRecord) -> dict[str, tuple[str, ...]]:
    """What was not run or not finished and why: names by reason."""
    return _by_reason((*_unfinished(record, record.having(Status.NOT_RUN)), *_never_asked(record)))


def unfinished(record: RunRecord) -> dict[str, tuple[str, ...]]:
    """The same, without what was known at the start and without what the run itself failed with."""
    not_run = [test for test in record.having(Status.NOT_RUN) if not test.run_failed]
    return _by_reason(_unfinished(record, not_run))


def _by_reason(reasons: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for because, name in reasons:
        found.setdefault(because, {})[name] = None
    return {because: tuple(names) for because, names in found.items()}


def _unfinished(record: RunRecord, not_run: Iterable[TestRecord]) -> Iterator[tuple[str, str]]:
    for test in not_run:
        yield f"not run ({test.verdict}): {test.not_run_because}", test.id
    for test in record.having(Status.CANCELLED):
        for line in test.attempts[-1].end.evidence[:1]:
            yield f"cancelled: {line}", test.id
    for test in record.having(Status.NEEDS_GPU, Status.NOT_JUDGED):
        yield from _excused(test)
    for test in record.tests:
        reasons = test.attempts[-1].end.skip_reasons if test.attempts else ()
        for reason in reasons or (("no reason given",) if test.status is Status.SKIPPED else ()):
            yield f"skipped: {reason}", test.id


def _never_asked(record: RunRecord) -> Iterator[tuple[str, str]]:
    """What the plan leaves out."""
    for suite in record.start.skipped_suites:
        yield f"suite left out: {suite.because}", suite.suite
    for shard in record.start.empty_shards:
        yield "shard that holds no test", f"{shard.suite} {shard.shard}"
    for disabled in record.start.disabled:
        yield f"disabled: {disabled.because}", disabled.test


def _excused(test: TestRecord) -> Iterator[tuple[str, str]]:
    """The proofs of a test that needs a GPU or is not judged, with how its cases ended."""
    attempt = test.attempts[-1]
    excuses = [case.message for case in attempt.cases if case.outcome.value == test.status.value]
    name = f"{test.id} ({attempt.counted})" if attempt.cases else test.id
    for excuse in dict.fromkeys(excuses or attempt.end.evidence[-1:]):
        yield f"{test.status.plain}: {excuse}", name


def verdict_words(test: TestRecord) -> str:
    """A test's verdict for a table; `-` where nothing is decided about the code."""
    return "-" if test.status.row.set_aside else test.verdict.value


def case_place(case: Case) -> str:
    """`file:line`, `file` or nothing."""
    return f"{case.file}:{case.line}" if case.file and case.line is not None else case.file or ""


def lost_words(lost: SlotLost, *, node: str = "") -> str:
    """`MACHINE: GPU 3 was taken out after test_a.py: ...`; with its `node` where there are several."""
    where = f" of {node}" if node else ""
    return f"MACHINE: GPU {', '.join(lost.gpu_ids)}{where} was taken out after {lost.test}: {lost.because}"


def lost_lines(record: RunRecord) -> tuple[str, ...]:
    """What was taken out of the run, or of the runs of a merged report: GPUs and workers."""
    gpus: list[str] = []
    workers: list[str] = []
    for part, run in runs_of(record):
        gpus += [lost_words(each, node=run.worker(each.worker).name) for each in run.lost]
        lost = [f"{row.node}: {row.words}" for row in worker_rows(run) if row.is_lost]
        workers += [f"{part}: {words}" if part else words for words in lost]
    return (*gpus, *workers)


def role_words(role: RoleRecord) -> str:
    """`prefill on node 1 (127.0.0.1, http 25800), ready after 4.3 s`, and how it ended unless it was told to."""
    start, end = role.start, role.end
    ports = ", ".join(f"{name} {port}" for name, port in start.ports.items())
    where = f" on node {start.node} ({', '.join(filter(None, (start.host, ports)))})" if start.host else ""
    ready = f"ready after {duration(role.took_s)}" if role.took_s is not None else "never ready"
    if end is not None and end.failed:
        return f"{start.role}{where}, {ready}; FAILED first ({end.verdict}): {end.because}"
    return f"{start.role}{where}, {ready}" + (f"; {end.because}" if end is not None and end.because else "")


def roles(record: RunRecord) -> dict[str, tuple[RoleRecord, ...]]:
    """The servers behind the tests that have any, by the test and its attempt."""
    return {
        f"{test.id}, attempt {attempt.number}": attempt.roles
        for test in record.tests
        for attempt in test.attempts
        if attempt.roles
    }


def ending(attempt: Attempt) -> str:
    """How the process of an attempt ended: its exit code, signal or time limit."""
    if attempt.end.verdict.row.exit_code is ExitCode.TIMEOUT:
        return (
            f"stopped at its limit of {duration(attempt.start.timeout_s)}"
            if attempt.start.timeout_s
            else "stopped at its limit"
        )
    if attempt.end.signal:
        return f"ended by {attempt.end.signal}"
    return f"exit code {attempt.end.exit_code}" if attempt.end.exit_code is not None else ""
