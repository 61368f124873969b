"""junit.xml: the dialect that Jenkins, GitLab and GitHub's readers take, with every attempt kept.

A case that failed and then passed is a passed `testcase` with a `flakyFailure` or `flakyError` in it; one that
failed again has its earlier attempts as `rerunFailure` or `rerunError`. What fails a file and no case of it (a
time limit, a crash, an import) is a `testcase` of its own, named `(file)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import junitparser
from junitparser import xunit2

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import Case, ExecutorFailed
from ci.record.model import Attempt, RunRecord, TestRecord
from ci.record.quarantine import Became, QuarantineRecord, words
from ci.record.values import AttemptOutcome, CaseOutcome, EndReason
from ci.report import model
from ci.report.log_tail import LogTails
from ci.report.repeat import repeat
from ci.report.text import case_name, duration, never_run_words, strip_ansi, unverified_words, visible
from ci.report.workers import attempt_place

__all__ = ["junit_xml"]

_FILE = "(file)"
# what pytest ends with when cases failed and nothing else happened
_CASES_FAILED = 1
_RUN = "(run)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What one attempt says about one testcase; `verdict` is None where it did not fail."""

    outcome: CaseOutcome
    duration_s: float
    verdict: Verdict | None = None
    message: str = ""
    details: str = ""
    file: str = ""
    line: int | None = None


def junit_xml(record: RunRecord, *, tails: LogTails) -> bytes:
    """The record as one XML document in UTF-8."""
    root = xunit2.JUnitXml(_text(record.title) or "run")
    for part in record.parts:
        for suite in _suites(part.record, tails, part.name):
            _put(root, suite)
    for suite in _suites(record, tails) if not record.parts else _of_all(record):
        _put(root, suite)
    _count(root)
    # junitparser writes by lxml where that is installed: one writer gives the same bytes everywhere
    tree = ET.fromstring(_bytes(root))  # noqa: S314  # our own document, made above
    ET.indent(tree)
    return bytes(ET.tostring(tree, encoding="UTF-8", xml_declaration=True)) + b"\n"


class _Case(xunit2.TestCase):
    """A testcase with the place that GitLab and pytest's own readers show."""

    file = junitparser.Attr()
    line = junitparser.Attr()


# junitparser ships as typed, yet annotates none of these methods.
def _put(parent: Any, child: Any) -> None:
    parent.append(child)


def _count(parent: Any) -> None:
    parent.update_statistics()


def _bytes(element: Any) -> bytes:
    return bytes(element.tostring())


def _text(value: str) -> str:
    return visible(strip_ansi(value))


def _suites(record: RunRecord, tails: LogTails, part: str = "") -> Iterator[xunit2.TestSuite]:
    """The suites of one run, by their ids or, in a merged report, by what that run was; then what went wrong with it."""
    groups: dict[str, list[TestRecord]] = {}
    for test in record.tests:
        groups.setdefault(test.suite, []).append(test)
    for suite, tests in groups.items():
        yield _suite(record, part if part and len(groups) == 1 else suite, tests, tails)
    if outside := list(_outside(record)):
        yield _filled(record, f"{_RUN} {part}".rstrip(), outside, {})


def _of_all(record: RunRecord) -> Iterator[xunit2.TestSuite]:
    """What keeps a merged record from being whole: its failures that are not those of one of its runs."""
    own = len(record.failures) - sum(len(part.record.failures) for part in record.parts)
    if cases := [_failed_outside(failure) for failure in record.failures[:own]]:
        yield _filled(record, _RUN, cases, {})


def _suite(record: RunRecord, name: str, tests: Sequence[TestRecord], tails: LogTails) -> xunit2.TestSuite:
    found: list[_Case] = []
    own: dict[str, str] = {}
    for test in tests:
        found += _cases(test, tails)
        own[f"verdict: {test.id}"] = f"{test.status.value} ({test.verdict})"
        if test.last is not None and test.last.end.symptom:
            own[f"symptom: {test.id}"] = test.last.end.symptom
        if len(test.attempts) > 1:
            tries = (
                f"{attempt.number} {attempt.end.outcome} ({attempt.end.verdict})" for attempt in test.attempts
            )
            own[f"attempts: {test.id}"] = ", ".join(tries)
        nodes = [where for attempt in test.attempts if (where := attempt_place(record, attempt))]
        if record.workers and nodes:
            own[f"node: {test.id}"] = "; ".join(nodes)
        for judged in model.measured_by(test):
            metric = judged.metric
            bound = ": ".join(
                part for part in (model.bound_words(metric), judged.state, judged.because) if part
            )
            value = judged.value + (f" ({bound})" if metric.bound else "")
            key = f"metric: {test.id}: {metric.metric}"
            # a floor and a ceiling are two events of one metric
            own[key] = f"{own[key]}, {value}" if key in own else value
    for item in model.quarantined(record):
        if item.row.test.partition("::")[0] in {test.id for test in tests}:
            own[f"quarantine: {item.row.test}"] = item.words
    return _filled(record, name, found, own)


def _filled(record: RunRecord, name: str, cases: Sequence[_Case], own: dict[str, str]) -> xunit2.TestSuite:
    suite = xunit2.TestSuite()  # type: ignore[no-untyped-call]  # as above
    prefix = ("UNVERIFIED " if record.start.unverified else "") + (
        "REHEARSAL " if record.start.rehearsal else ""
    )
    suite.name = _text(f"{prefix}{name}")
    if record.start.time:
        suite.timestamp = _text(record.start.time)
    if record.agent.host:
        suite.hostname = _text(record.agent.host)
    shared = {
        "run": record.start.run,
        "rehearsal": "true" if record.start.rehearsal else "false",
        "rehearsal_because": record.start.rehearsal_because,
        "plan_digest": record.start.plan_digest,
        "hardware_class": record.start.hardware_class,
        "engine": record.start.engine,
        "executor": record.start.executor,
        "commit": record.start.commit,
        "repeat": repeat(record),
        "result": model.result(record).words,
    }
    if record.start.never_run:
        shared["never_run"] = never_run_words(record.start.never_run)
    if record.start.unverified:
        shared["unverified"] = unverified_words(record.start.unverified)
    for phase in model.phase_rows(record):
        took = ": ".join(part for part in (duration(phase.duration_s), phase.result or phase.text) if part)
        shared[f"phase: {phase.phase}"] = f"{phase.outcome} in {took}"
    for key, value in (shared | own).items():
        suite.add_property(_text(key), _text(value))
    for case in cases:
        _put(suite, case)
    _count(suite)
    return suite


def _cases(test: TestRecord, tails: LogTails) -> Iterator[_Case]:
    last = test.last
    if last is None:
        case = _testcase(test, _FILE, 0.0)
        if test.verdict is Verdict.CANCELLED:
            _put(case, junitparser.Skipped(_text(f"not run: {test.not_run_because}")))
        else:
            _put(case, junitparser.Error(_text(f"not run: {test.not_run_because}"), _text(test.verdict)))
        yield case
        return
    # what a lost worker left says nothing about the test
    attempts = [
        attempt
        for attempt in test.attempts[: test.attempts.index(last) + 1]
        if attempt.end.outcome is not AttemptOutcome.LOST
    ]
    names = dict.fromkeys(case.case for attempt in attempts for case in attempt.cases)
    trials = {name: [_of_case(attempt, name) for attempt in attempts] for name in names}
    whole = [_of_file(attempt) for attempt in attempts]
    if not names or any(trial is not None and trial.outcome is not CaseOutcome.PASSED for trial in whole):
        trials[_FILE] = whole
    with_log = test.status in (Status.FAILED, Status.QUARANTINED)
    for name, seen in trials.items():
        case = _one(test, name, seen)
        held = test.status is Status.QUARANTINED
        if with_log and case.result and (held or not case.is_skipped):
            case.system_out = _text(tails.of(last).text)
            with_log = False
        yield case


def _of_case(attempt: Attempt, name: str) -> _Trial | None:
    """What an attempt says about a case, the worst if it says it twice; None when it never came to it."""
    found = [case for case in attempt.cases if case.case == name]
    if not found:
        return None
    case = next((case for case in found if case.outcome is CaseOutcome.FAILED), found[0])
    return _Trial(
        outcome=case.outcome,
        duration_s=case.duration_s,
        verdict=_verdict_of(case, attempt) if case.outcome is CaseOutcome.FAILED else None,
        message=case.message,
        details=case.details or case.message,
        file=case.file or "",
        line=case.line,
    )


def _verdict_of(case: Case, attempt: Attempt) -> Verdict:
    """A failed case's own verdict, else its attempt's where failed cases were all that went wrong in it."""
    end = attempt.end
    of_cases = end.exit_code == _CASES_FAILED and end.verdict.row.cause
    return case.verdict or (end.verdict if of_cases else Verdict.PRODUCT)


def _of_file(attempt: Attempt) -> _Trial | None:
    """What an attempt says about the file as a whole; None when a failed case says it all."""
    if attempt.end.verdict is Verdict.CANCELLED:
        message = "; ".join(("cancelled", *attempt.end.evidence))
        return _Trial(outcome=CaseOutcome.SKIPPED, duration_s=attempt.end.duration_s, message=message)
    if attempt.end.outcome is AttemptOutcome.PASSED or (attempt.harmless and attempt.cases):
        return _Trial(outcome=CaseOutcome.PASSED, duration_s=attempt.end.duration_s)
    if attempt.harmless:
        reasons = "; ".join(attempt.end.skip_reasons or attempt.end.evidence) or "no reason given"
        outcome = CaseOutcome(attempt.end.outcome.value)
        return _Trial(outcome=outcome, duration_s=attempt.end.duration_s, message=reasons)
    if any(_verdict_of(case, attempt) is attempt.end.verdict for case in attempt.failed_cases):
        return None
    words = [part for part in (attempt.end.verdict, model.ending(attempt)) if part]
    details = [*attempt.end.evidence, *(leftover.words for leftover in attempt.end.leftovers)]
    return _Trial(
        outcome=CaseOutcome.FAILED,
        duration_s=attempt.end.duration_s,
        verdict=attempt.end.verdict,
        message=": ".join(words),
        details="\n".join(details),
    )


def _one(test: TestRecord, name: str, seen: Sequence[_Trial | None]) -> _Case:
    trials = [(number, trial) for number, trial in enumerate(seen, start=1) if trial is not None]
    last_number, last = trials[-1] if trials else (0, _Trial(outcome=CaseOutcome.PASSED, duration_s=0.0))
    # a case that an earlier attempt failed and the passing one never ran again is not failed for good
    passed_later = test.status in (Status.FLAKY, Status.PASSED) and last.outcome is CaseOutcome.FAILED
    case = _testcase(test, name, last.duration_s)
    if file := _text(last.file):
        case.file = file
    if last.line is not None:
        case.line = str(last.line)
    row = _held_by(test, name)
    if last.outcome is CaseOutcome.FAILED and row is not None and not passed_later:
        # no reader may count it as a failure, and none may take it for a pass
        skipped = junitparser.Skipped(
            _text(f"QUARANTINED, {words(row, Became.FAILED)}: {last.message}"), "quarantined"
        )
        skipped.text = _text(last.details)
        _put(case, skipped)
    elif last.outcome is CaseOutcome.FAILED and not passed_later:
        kind = junitparser.Failure if _about_code(last) else junitparser.Error
        failure = kind(_text(last.message), _text(last.verdict or ""))
        failure.text = _text(last.details)
        _put(case, failure)
    elif last.outcome in (CaseOutcome.SKIPPED, CaseOutcome.XFAILED, CaseOutcome.XPASSED):
        _put(case, junitparser.Skipped(_text(last.message) or last.outcome, f"pytest.{last.outcome}"))
    elif last.outcome in (CaseOutcome.NEEDS_GPU, CaseOutcome.NOT_JUDGED):
        message = f"{last.outcome.value.replace('-', ' ')}: {last.message}"
        _put(case, junitparser.Skipped(_text(message), last.outcome))
    flaky = passed_later or last.outcome is not CaseOutcome.FAILED
    for number, trial in trials:
        if trial.outcome is CaseOutcome.FAILED and (number != last_number or passed_later):
            _put(case, _earlier(number, trial, flaky=flaky))
    return case


def _about_code(trial: _Trial) -> bool:
    """Whether it is a failure in JUnit's sense, and not an error."""
    return trial.verdict is not None and trial.verdict.row.about_code


def _held_by(test: TestRecord, name: str) -> QuarantineRecord | None:
    """The quarantine row by which a failure of this testcase gates nothing."""
    if test.status is Status.QUARANTINED:
        return test.quarantined(name) or test.quarantine[0]
    row = test.quarantined(name) if name != _FILE else None
    # a file in quarantine that counts as failed was stopped or never ended: that is not what its row is about
    return None if row is None or row.whole_file else row


def _earlier(number: int, trial: _Trial, *, flaky: bool) -> xunit2.InterimResult:
    kind: type[xunit2.InterimResult]
    if _about_code(trial):
        kind = xunit2.FlakyFailure if flaky else xunit2.RerunFailure
    else:
        kind = xunit2.FlakyError if flaky else xunit2.RerunError
    entry = kind(_text(f"attempt {number}: {trial.message}"), _text(trial.verdict or ""))
    entry.stack_trace = _text(trial.details)
    return entry


def _testcase(test: TestRecord, name: str, duration_s: float) -> _Case:
    classname = test.id.removesuffix(".py").replace("/", ".")
    return _Case(_text(case_name(name, test.id)), _text(classname), round(duration_s, 3))


def _outside(record: RunRecord) -> Iterator[_Case]:
    """Testcases for what went wrong with the run itself, so that no reader takes it for a pass."""
    yield from map(_failed_outside, record.failures)
    if record.ended_reason is EndReason.CANCELLED:
        yield _run_error("interrupted", "the run was stopped", Verdict.CANCELLED, "")
    elif not record.failures and record.tests and record.ended_reason is None:
        yield _run_error(
            "agent", "the agent's events stop before its end", Verdict.INFRA, "\n".join(record.problems)
        )


def _failed_outside(failure: ExecutorFailed) -> _Case:
    details = "\n".join([*failure.problems, failure.cause, failure.then])
    return _run_error("executor", failure.what, failure.verdict, details)


def _run_error(name: str, message: str, verdict: Verdict, details: str) -> _Case:
    case = _Case(name, _RUN, 0.0)
    error = junitparser.Error(_text(message), _text(verdict))
    error.text = _text(details)
    _put(case, error)
    return case
