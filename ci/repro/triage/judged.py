"""From the reading of a job's log, or the record of a run, to its triage."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.quarantine import Quarantine
from ci.catalog.verdicts import Status, Verdict
from ci.plan.cpu_tests import known_to_need_gpu
from ci.record.model import RunRecord, TestRecord
from ci.repro.log.judging import judge_attempt
from ci.repro.log.values import Attempt, Call, FileEnd, JobLog, SetUp, Step
from ci.repro.sglang_job import hardware_of, nodes_of, suite_words
from ci.repro.source import Fact, Understood
from ci.repro.triage.values import Held, Ran, TriagedJob, TriagedTest

__all__ = ["Judging", "from_record"]

_TAG_DATE: Final = re.compile(r"-(\d{4})(\d\d)(\d\d)(?:\b|-)")
_FLAKY_THEN: Final = (
    "It passed when it was tried again: look for its symptom in other runs before you excuse it."
)
_HELD_THEN: Final = "It is quarantined and gates nothing: add what is new in it to the issue."
_SHOWN_STATUSES: Final = (Status.FAILED, Status.QUARANTINED, Status.FLAKY, Status.NEEDS_GPU, Status.NOT_RUN)
# lines of evidence that are kept of a test
_EVIDENCE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What jobs are judged with: our rows, and the day on which quarantine is looked at."""

    catalog: Catalog
    today: date

    def job(
        self, job: JobLog, found: Understood, lines: dict[str, str], *, source: str, kind: str
    ) -> TriagedJob:
        """One job of a log; `found` is what `repro` makes of it."""
        tests = [test for step in job.steps for call in step.calls for test in self._tests(job, step, call)]
        stopped = found.stopped
        return TriagedJob(
            name=job.name,
            kind=kind,
            source=source,
            set_up=tuple(_set_up(job.set_up)),
            ran=tuple(_ran(call) for call in job.calls),
            tests=tuple(tests),
            stopped=f"it ended in {stopped.step}, before its tests" if stopped is not None else "",
            verdict=stopped.verdict if stopped is not None else None,
            evidence=stopped.evidence if stopped is not None else (),
            symptom=stopped.symptom if stopped is not None else "",
            then=stopped.verdict.row.then if stopped is not None else "",
            lines=lines,
            dropped=found.dropped,
            problem="" if stopped is not None else found.problem,
        )

    def _tests(self, job: JobLog, step: Step, call: Call) -> Iterator[TriagedTest]:
        hardware = self._class(job)
        flaky = set(call.flaky)
        for file, last in call.last.items():
            if last.ended is FileEnd.PASSED and file not in flaky:
                continue
            tried = [each for each in call.attempts if each.file == file]
            bad = (
                last
                if file not in flaky
                else [each for each in tried if each.ended is not FileEnd.PASSED][-1]
            )
            judgement = judge_attempt(job, bad, self.catalog.verdict_rules, step.error)
            verdict = Verdict.of_name(judgement.verdict)
            cases = nodes_of(bad) if bad.cases and not bad.whole else ()
            held = tuple(self._held(file, cases, hardware))
            status = _status(bad, cases, held, is_flaky=file in flaky)
            yield TriagedTest(
                file=file,
                suite=call.test_call.suite,
                status=status,
                verdict=verdict,
                cases=cases,
                because=bad.because or ("it did not end" if bad.ended is FileEnd.UNFINISHED else ""),
                evidence=judgement.evidence[:_EVIDENCE],
                symptom=judgement.symptom,
                rule=judgement.rule or "",
                quarantine=held,
                needs_gpu=known_to_need_gpu(self.catalog.cpu_tests, (file,)).get(file, ""),
                attempts=len(tried),
                then=_then(status, verdict),
            )

    def _class(self, job: JobLog) -> str:
        """The hardware class of a job, by its runner; empty when nothing says it."""
        for name in hardware_of(job):
            rule = self.catalog.hardware.label_rule(name)
            if rule is not None:
                return rule[0].cls
        return ""

    def _held(self, file: str, cases: Iterable[str], hardware: str) -> Iterator[Held]:
        """Rows about the file or one of its cases, on this hardware where it is known."""
        nodes = tuple(cases)
        for row in self.catalog.quarantine.rows:
            named, _, case = row.test.partition("::")
            if named != file or (hardware and hardware not in row.hardware):
                continue
            if case and not any(_is_about(row, node) for node in nodes):
                continue
            yield Held(
                test=row.test,
                reason=row.reason,
                issue=row.issue,
                hardware=tuple(row.hardware),
                expires=str(row.expires),
                expired=not row.since <= self.today <= row.expires,
            )


def _is_about(row: Quarantine, node: str) -> bool:
    """A row may leave out the class and the parameters of a case."""
    case = node.partition("::")[2].partition("[")[0]
    wanted = row.test.partition("::")[2].partition("[")[0]
    return case == wanted or case.endswith(f"::{wanted}") or wanted.startswith(f"{case}::")


def _status(attempt: Attempt, cases: Sequence[str], held: Sequence[Held], *, is_flaky: bool) -> Status:
    if is_flaky:
        return Status.FLAKY
    valid = [row for row in held if not row.expired]
    whole = any("::" not in row.test for row in valid)
    covered = bool(cases) and all(
        any(row.test.partition("::")[2].rpartition("::")[2] in case for row in valid) for case in cases
    )
    gates = attempt.ended is FileEnd.FAILED
    return Status.QUARANTINED if valid and gates and (whole or covered) else Status.FAILED


def _then(status: Status, verdict: Verdict) -> str:
    if status is Status.FLAKY:
        return _FLAKY_THEN
    return _HELD_THEN if status is Status.QUARANTINED else verdict.row.then


def _ran(call: Call) -> Ran:
    ended = [each.ended for each in call.last.values()]
    passed = ended.count(FileEnd.PASSED)
    return Ran(
        what=suite_words(call.test_call),
        amount=0 if call.none_found else call.amount or (len(call.test_call.files) or None),
        passed=passed,
        failed=len(ended) - passed,
        flaky=len(call.flaky),
    )


def _set_up(set_up: SetUp) -> Iterator[Fact]:
    """What set-up did, a row each."""
    age = _age(set_up)
    values = (
        (
            "commit",
            set_up.commit + (f", {set_up.merged} merged into {set_up.base}" if set_up.merged else ""),
            "checkout",
        ),
        ("runner", " ".join(part for part in (set_up.runner, set_up.hardware) if part), "the runner"),
        ("image", set_up.image + age, set_up.image_from),
        ("ROCm", set_up.rocm, set_up.rocm_from),
        ("AITER", set_up.aiter, "installation"),
        ("triton", set_up.triton, "installation"),
    )
    yield from (Fact(what=what, value=value, source=source) for what, value, source in values if value)
    yield from (Fact(what="note", value=note, source="set-up") for note in set_up.notes)


def _age(set_up: SetUp) -> str:
    """`, 2 days old on that day`, by the date in the image's tag."""
    made = _TAG_DATE.search(set_up.image)
    if made is None or not set_up.date:
        return ""
    try:
        days = (date.fromisoformat(set_up.date) - date(int(made[1]), int(made[2]), int(made[3]))).days
    except ValueError:
        return ""
    return f", {days} day{'s' if days != 1 else ''} old when it ran"


# --- our own runs ---------------------------------------------------------------------------------------------


def from_record(record: RunRecord, *, source: str, lines: dict[str, str]) -> TriagedJob:
    """The record of a run of ours, which was judged when it ran."""
    tests = tuple(_of_record(test) for status in _SHOWN_STATUSES for test in record.having(status))
    counts = record.count
    first = next(iter(record.failures), None)
    facts = {
        "commit": record.start.commit,
        "hardware": record.start.hardware_class,
        "engine": record.start.engine,
        "executor": record.start.executor,
        "host": record.agent.host,
    }
    return TriagedJob(
        name=record.title,
        kind="run of this project",
        source=source,
        set_up=(
            *(Fact(what=name, value=value, source="the record") for name, value in facts.items() if value),
            *(
                Fact(what=f"phase {phase.phase}", value=phase.outcome, source="the record")
                for phase in record.phases
            ),
        ),
        ran=(
            Ran(
                what=record.title,
                amount=len(record.tests),
                passed=counts(Status.PASSED) + counts(Status.FLAKY),
                failed=counts(Status.FAILED) + counts(Status.QUARANTINED),
                flaky=counts(Status.FLAKY),
            ),
        ),
        tests=tests,
        stopped=f"it failed outside the tests: {first.what}" if first is not None else "",
        verdict=first.verdict if first is not None else None,
        evidence=tuple(part for part in (first.cause, *first.problems) if part) if first is not None else (),
        then=first.then or first.verdict.row.then if first is not None else "",
        lines=lines,
    )


def _of_record(test: TestRecord) -> TriagedTest:
    last = test.last
    if test.status is Status.FLAKY:
        last = next((each for each in reversed(test.attempts) if not each.harmless), last)
    end = last.end if last is not None else None
    verdict = end.verdict if end is not None else test.verdict
    return TriagedTest(
        file=test.id,
        suite=test.suite,
        status=test.status,
        verdict=verdict,
        cases=tuple(case.case for case in last.failed_cases) if last is not None else (),
        because=test.not_run_because,
        evidence=tuple(end.evidence[:_EVIDENCE]) if end is not None else (),
        symptom=end.symptom if end is not None else "",
        rule=(end.rule or "") if end is not None else "",
        quarantine=tuple(
            Held(
                test=row.test,
                reason=row.reason,
                issue=row.issue,
                hardware=(),
                expires=str(row.expires),
                expired=False,
            )
            for row in test.quarantine
        ),
        needs_gpu="it stopped where it needed a GPU" if test.status is Status.NEEDS_GPU else "",
        attempts=len(test.attempts),
        then=_then(test.status, verdict),
    )
