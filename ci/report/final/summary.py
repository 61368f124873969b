"""summary.md: what a pull request's author reads on the job's page. Text from outside never becomes markup."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.record.model import RunRecord
from ci.record.values import PhaseOutcome
from ci.report import model
from ci.report.final.failures import failures
from ci.report.log_tail import LogTails
from ci.report.repeat import repeat, repeat_test
from ci.report.shards import balance_words, shard_rows, split_words, suite_times
from ci.report.text import (
    case_name,
    clip,
    duration,
    never_run_words,
    one_line,
    strip_ansi,
    unverified_words,
    visible,
)
from ci.report.workers import attempt_place, worker_rows

__all__ = ["code", "summary_md"]

# room for the last line, which says what was left out
_CLOSING_BYTES = 600
# more failed cases are counted by test
_FAILURES_MAX = 500
_CELL_CHARS = 300

_PHASE_ICONS = {
    PhaseOutcome.OK: "✅",
    PhaseOutcome.WARNED: "⚠️",
    PhaseOutcome.SKIPPED: "⏭️",
    PhaseOutcome.FAILED: "❌",
    PhaseOutcome.UNFINISHED: "❌",
}

# What has a meaning inside a line of Markdown, in a table's cell, or to GitHub (@name, #1, :smile:, $math$, links);
# an underscore between letters and a colon before a space have none, and the file stays readable as it is.
_MARKUP = re.compile(r"[\\`*\[\]#|<>&~@$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?! )")


def plain(text: str) -> str:
    """Text in one line in which nothing is markup, inside a table or out of it."""
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", one_line(strip_ansi(text)))


def code(text: str) -> str:
    """The same in a fixed-width font; a code span could not hold a backtick or, in a table, a bar."""
    return f"<code>{plain(text)}</code>" if text else ""


def block(text: str) -> str:
    """Several lines as they are; raw HTML, because a fence can be closed by what is in it."""
    return f"<pre>{html.escape(visible(strip_ansi(text)))}</pre>"


def command(text: str) -> str:
    """A command in a fence that nothing in it closes, which GitHub shows with a button that copies it."""
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}sh\n{one_line(strip_ansi(text))}\n{fence}"


_DETAILS = "details of attempts"
# what a part is about, as the last line counts what did not fit
_Part = tuple[str, str]


def summary_md(record: RunRecord, *, tails: LogTails, limits: ReportLimits) -> str:
    """The summary, at most `limits.summary_bytes` long: what does not fit is counted, with a pointer to it."""
    parts = list(_parts(record, tails, limits))
    # everything that is a line comes before what is a page
    order = sorted(range(len(parts)), key=lambda at: parts[at][0] == _DETAILS)
    kept: set[int] = set()
    left = limits.summary_bytes - _CLOSING_BYTES
    for at in order:
        size = len(parts[at][1].encode("utf-8", "backslashreplace")) + 1
        if size <= left:
            kept.add(at)
            left -= size
    dropped = Counter(kind for at, (kind, _) in enumerate(parts) if at not in kept)
    lines = [part for at, (_, part) in enumerate(parts) if at in kept]
    if dropped:
        counted = ", ".join(f"{count} {kind}" for kind, count in dropped.items())
        lines.append(f"\n_Left out, GitHub shows 1 MiB of a step: {counted}. report.html has all._")
    return "\n".join(lines) + "\n"


def _parts(record: RunRecord, tails: LogTails, limits: ReportLimits) -> Iterator[_Part]:
    """Parts that can each be left out: blocks that close what they open, and single rows of tables."""
    yield from _named("lines of the result", _head(record))
    yield from _named("failures", _failures(record))
    yield from _named("runs", _runs(record))
    yield from _named("failures outside the tests", _outside(record))
    yield from _named("workers", _workers(record))
    yield from _named("phases", _phases(record, tails))
    for symptom, tests in model.shared_symptoms(record).items():
        names = "\n".join(f"- {code(test.id)}" for test in tests)
        yield "symptoms", f"\n**{plain(model.symptom_words(symptom, tests))}**\n\n{names}"
    for trouble in model.troubles(record):
        yield _DETAILS, _trouble(record, trouble, tails, limits)
    yield from _named("roles", _roles(record))
    yield from _named("tests", _tests(record))
    yield from _named("metrics", _metrics(record))
    yield from _named("slowest tests", _slowest(record))
    yield from _named("reasons", _by_reason("Not run", model.left_out(record)))
    debts = model.expected_failures(record)
    yield from _named("expected failures", _by_reason("Expected to fail, with no date", debts))
    yield from _named("quarantine rows", _quarantined(record))
    facts = [f"{plain(name)}: {code(value)}" for name, value in model.facts(record).items() if value]
    yield (
        "facts",
        "\n<details><summary>About this run</summary>\n\n" + "<br>\n".join(facts) + "\n\n</details>",
    )


def _named(kind: str, parts: Iterable[str]) -> Iterator[_Part]:
    yield from ((kind, part) for part in parts)


def _roles(record: RunRecord) -> Iterator[str]:
    for name, found in model.roles(record).items():
        yield f"\n**Roles of {code(name)}**\n"
        yield from (f"- {plain(model.role_words(role))}" for role in found)


def _head(record: RunRecord) -> Iterator[str]:
    ended = model.result(record)
    yield f"## {'✅' if ended.ok else '❌'} {plain(record.title)}: {plain(ended.words)}"
    if words := model.baseline_words(record):
        yield f"\n**{plain(words)}**"
    if words := unverified_words(record.start.unverified):
        yield f"\n> <b>{plain(words)}</b>"
    if words := never_run_words(record.start.never_run):
        yield f"\n> <b>{plain(words)}</b>"
    if words := model.rehearsal_words(record):
        yield f"\n> <b>{plain(words)}</b>"
    counted = ", ".join(f"**{count}** {words}" for words, count in model.counts(record).items()) or "no tests"
    where = f"{plain(record.start.hardware_class)}, {plain(record.start.engine)}"
    yield f"\n{counted} on {where} in {duration(record.duration_s)}, exit code {ended.code}"


def _failures(record: RunRecord) -> Iterator[str]:
    """A row for each failed case, and for what failed outside the tests; then the command that repeats them."""
    found, more = failures(record, most=_FAILURES_MAX, roomy=_FAILURES_MAX)
    # a reader looks for what failed for good
    found.sort(key=lambda failure: failure.status is not Status.FAILED)
    if found or record.failures:
        yield "\n| | where | case | verdict | why |\n| --- | --- | --- | --- | --- |"
    for outside in record.failures:
        words = plain(clipped(outside.what))
        yield f"| {Status.FAILED.row.icon} | outside the tests | | {plain(outside.verdict)} | {words} |"
    for failure in found:
        case = code(failure.case) + (f" and {failure.more} more" if failure.more else "")
        cells = (code(failure.where), case, plain(failure.verdict), plain(clipped(failure.why)))
        yield f"| {failure.status.row.icon} | {' | '.join(cells)} |"
    if more:
        yield f"\nand {more} more tests, see report.html"
    if words := repeat(record):
        yield f"\nRepeat it:\n\n{command(words)}"


def clipped(text: str) -> str:
    """The beginning of a line that would make a cell a page; the details have all of it."""
    return text if len(text) <= _CELL_CHARS else f"{text[: _CELL_CHARS - 3]}..."


def _runs(record: RunRecord) -> Iterator[str]:
    """The runs of a merged report and how even their shards were."""
    rows = shard_rows(record)
    if not rows:
        return
    yield "\n### Runs\n\n| | run | tests | estimate | tests took | run took |\n| --- | --- | --- | ---: | ---: | ---: |"
    for row in rows:
        times = " | ".join(duration(each) for each in (row.est_s, row.took_s, row.run_s))
        name = f'<a href="{html.escape(row.page)}">{plain(row.name)}</a>' if row.page else plain(row.name)
        yield f"| {row.icon} {plain(row.result.words)} | {name} | {plain(row.tests)} | {times} |"
    for times_of in suite_times(record.parts):
        split = split_words(times_of)
        yield f"\n{plain(balance_words(times_of))}" + (f"<br>\n{plain(split)}" if split else "")
    for note in record.notes:
        yield f"\nNote: {plain(note)}"
    for row in rows:
        if row.command:
            yield f"\nRepeat {plain(row.name)}:\n\n{command(row.command)}"


def _outside(record: RunRecord) -> Iterator[str]:
    for failure in record.failures:
        yield f"\n**Failed outside the tests:** {plain(failure.what)}"
        if failure.problems:
            yield "\n" + "\n".join(f"- {plain(problem)}" for problem in failure.problems)
        if failure.cause:
            yield f"\nCause: {plain(failure.cause)}"
        if failure.then:
            yield f"\nNext: {code(failure.then)}"
    for problem in record.problems:
        yield f"\nRecord: {plain(problem)}"
    for words in model.lost_lines(record):
        yield f"\n**{plain(words)}**"
    for leftover in record.leftovers:
        yield f"\n{plain(leftover.words)}"


def _workers(record: RunRecord) -> Iterator[str]:
    """The nodes of the run, or of each run of a merged report."""
    rows = [(part, row) for part, run in model.runs_of(record) for row in worker_rows(run)]
    if not rows:
        return
    yield "\n### Nodes\n\n| node | attempts | slots | time of its slots used | |\n| --- | ---: | ---: | ---: | --- |"
    for part, row in rows:
        name = plain(f"{part}: {row.node}" if part else row.node)
        icon = f"{Status.FAILED.row.icon} " if row.is_lost else ""
        yield f"| {name} | {row.attempts} | {row.slots} | {row.busy} | {icon}{plain(row.words)} |"


def _phases(record: RunRecord, tails: LogTails) -> Iterator[str]:
    rows = model.phase_rows(record)
    if not rows:
        return
    yield "\n### Phases\n\n| | phase | took | | what |\n| --- | --- | ---: | ---: | --- |"
    for phase in rows:
        icon = _PHASE_ICONS[phase.outcome]
        words = plain(phase.result or phase.text)
        yield f"| {icon} {plain(phase.outcome)} | {code(phase.phase)} | {duration(phase.duration_s)} | {model.phase_amount(phase)} | {words} |"
    for phase in rows:
        if phase.outcome in (PhaseOutcome.OK, PhaseOutcome.SKIPPED) or not (phase.details or phase.log):
            continue
        tail = tails.named(phase.log) if phase.log and phase.outcome is not PhaseOutcome.WARNED else None
        lines = [f"\n<details><summary>{_PHASE_ICONS[phase.outcome]} {code(phase.phase)}</summary>\n"]
        if phase.details:
            lines.append(block("\n".join(phase.details)) + "\n")
        if tail is not None and (tail.lines or tail.note):
            note = f" ({plain(tail.note)})" if tail.note else ""
            lines.append(f"Last lines of {code(phase.log)}{note}:\n\n{block(tail.text)}\n")
        yield "\n".join([*lines, "</details>"])


def _trouble(record: RunRecord, trouble: model.Trouble, tails: LogTails, limits: ReportLimits) -> str:
    test, attempt = trouble.test, trouble.attempt
    held = test.status is Status.QUARANTINED
    icon = (test.status if trouble.final or held else Status.FLAKY).row.icon
    words = f"{plain(attempt.end.verdict)}, attempt {attempt.number} of {attempt.start.of}, {duration(attempt.end.duration_s)}"
    words += f", {plain(attempt_place(record.run_of(test), attempt))}" if attempt.worker else ""
    words = f"QUARANTINED, {words}" if held else words
    lines = [f"\n<details><summary>{icon} {code(test.id)} {words}</summary>\n"]
    if ending := model.ending(attempt):
        lines.append(f"{plain(ending)}\n")
    if attempt.end.symptom:
        lines.append(f"Symptom: {code(attempt.end.symptom)}\n")
    for case in attempt.failed_cases:
        lines.append(f"{code(model.case_place(case))} <b>{plain(case_name(case.case, test.id))}</b>\n")
        lines.append(block(clip(case.details or case.message, limits.case_lines)) + "\n")
    if attempt.end.evidence:
        rule = f" (rule {code(attempt.end.rule)})" if attempt.end.rule else ""
        lines.append(f"Evidence{rule}:\n\n{block(chr(10).join(attempt.end.evidence))}\n")
    lines += [f"{plain(leftover.words)}\n" for leftover in attempt.end.leftovers]
    tail = tails.of(attempt)
    note = f" ({plain(tail.note)})" if tail.note else ""
    if tail.lines or tail.note:
        lines.append(f"Last lines of {code(attempt.start.log)}{note}:\n\n{block(tail.text)}\n")
    if words := repeat_test(record, test):
        lines.append(f"Repeat it:\n\n{command(words)}\n")
    lines.append("</details>")
    return "\n".join(lines)


def _tests(record: RunRecord) -> Iterator[str]:
    if not record.tests:
        return
    yield "\n### Tests\n\n| | test | verdict | took | estimate | attempts |\n| --- | --- | --- | ---: | ---: | ---: |"
    for test in record.tests:
        took = duration(test.duration_s) if test.attempts else ""
        estimate = duration(test.est_s) if test.est_s else ""
        words = f"{test.status.row.icon} {test.status.value}"
        yield f"| {words} | {code(test.id)} | {plain(model.verdict_words(test))} | {took} | {estimate} | {len(test.attempts)} |"


def _metrics(record: RunRecord) -> Iterator[str]:
    rows = model.measured(record)
    if not rows:
        return
    yield "\n### Metrics\n\n| metric | value | bound | | test | source |\n| --- | ---: | --- | --- | --- | --- |"
    icons = {
        model.BoundState.HOLDS: "✅ holds",
        model.BoundState.BROKEN: "❌ broken",
        model.BoundState.REPORTED_ONLY: "⚠️ reported only",
        model.BoundState.REPORT_ONLY: "report only",
        model.BoundState.NO_BOUND: "",
        model.BoundState.UNMEASURED: "❌ unmeasured",
        model.BoundState.EXCUSED: "⚠️ unmeasured: ",
    }
    for row in rows:
        metric = row.metric
        source = plain(metric.bound.source) if metric.bound else ""
        cells = [plain(metric.metric), plain(row.value), plain(model.bound_words(metric))]
        yield f"| {' | '.join(cells)} | {icons[row.state]}{plain(row.because)} | {code(row.test.id)} | {source} |"


def _slowest(record: RunRecord) -> Iterator[str]:
    rows = model.slowest(record)
    if len(rows) < 2:
        return
    yield "\n### Slowest tests\n\n| test | took | estimate | ratio |\n| --- | ---: | ---: | ---: |"
    for test in rows:
        estimate = duration(test.est_s) if test.est_s else ""
        ratio = f"{test.duration_s / test.est_s:.1f} x" if test.est_s else ""
        yield f"| {code(test.id)} | {duration(test.duration_s)} | {estimate} | {ratio} |"


def _by_reason(title: str, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if groups:
        yield f"\n### {title}\n"
    for reason, names in groups.items():
        yield f"- {plain(reason)}\n" + "\n".join(f"  - {code(name)}" for name in names)


def _quarantined(record: RunRecord) -> Iterator[str]:
    rows = model.quarantined(record)
    if rows:
        yield "\n### Quarantine\n"
    for item in rows:
        yield f"- {Status.QUARANTINED.row.icon} QUARANTINED {code(item.row.test)} {plain(item.words)}"
