"""All that a run was, in tables: what `-v` shows above the end."""

from collections.abc import Iterator, Mapping, Sequence

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.record.model import PhaseRecord, RunRecord
from ci.record.quarantine import Became
from ci.record.values import PhaseOutcome
from ci.report import model
from ci.report.console import (
    Group,
    Padding,
    RenderableType,
    Rule,
    Table,
    Text,
    fact_table,
    new_table,
)
from ci.report.log_tail import LogTails
from ci.report.text import case_name, clip, duration, one_line, strip_ansi, visible
from ci.report.workers import worker_rows

__all__ = ["tables"]

_PHASE_STYLES = {
    PhaseOutcome.OK: "green",
    PhaseOutcome.WARNED: "yellow",
    PhaseOutcome.SKIPPED: "dim",
    PhaseOutcome.FAILED: "bold red",
    PhaseOutcome.UNFINISHED: "bold red",
}
_QUARANTINE_STYLES = {
    Became.FAILED: "magenta",
    Became.PASSED: "green",
    Became.SKIPPED: "dim",
    Became.NOT_RUN: "dim",
}


def tables(record: RunRecord, *, tails: LogTails, limits: ReportLimits) -> Group:
    """Tests, metrics, phases, every attempt that failed with the end of its log, and what the run was."""
    sections = [
        _tests(record),
        _measured(record),
        _slowest(record),
        _roles(record),
        _by_reason("Not run", model.left_out(record)),
        _by_reason("Expected to fail, with no date", model.expected_failures(record)),
        _quarantined(record),
        _workers(record),
        _phases(record, tails),
        _troubles(record, tails, limits),
        _facts(record),
    ]
    return Group(*_sections(sections))


def _sections(sections: Sequence[RenderableType | None]) -> Iterator[RenderableType]:
    for section in sections:
        if section is not None:
            yield section
            yield Text("")


def _tests(record: RunRecord) -> Table | None:
    if not record.tests:
        return None
    table = new_table(title=f"{one_line(record.title)}: {len(record.tests)} tests")
    table.add_column("status", no_wrap=True)
    table.add_column("test", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    for test in record.tests:
        table.add_row(
            Text(test.status.value, style=test.status.row.colour),
            one_line(test.id),
            one_line(model.verdict_words(test)),
            duration(test.duration_s) if test.attempts else "-",
            duration(test.est_s) if test.est_s else "-",
            str(len(test.attempts)),
        )
    return table


def _measured(record: RunRecord) -> Table | None:
    rows = model.measured(record)
    if not rows:
        return None
    styles = {
        model.BoundState.HOLDS: "green",
        model.BoundState.BROKEN: "bold red",
        model.BoundState.REPORTED_ONLY: "yellow",
        model.BoundState.REPORT_ONLY: "dim",
        model.BoundState.NO_BOUND: "dim",
        model.BoundState.UNMEASURED: "bold red",
        model.BoundState.EXCUSED: "yellow",
    }
    table = new_table(title="Metrics")
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("bound", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("test", overflow="fold")
    for row in rows:
        table.add_row(
            one_line(row.metric.metric),
            one_line(row.value),
            one_line(model.bound_words(row.metric)),
            Text(row.state, style=styles[row.state]),
            one_line(row.test.id),
        )
    return table


def _slowest(record: RunRecord) -> Table | None:
    rows = model.slowest(record)
    if len(rows) < 2:
        return None
    table = new_table(title="Slowest tests")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("test", overflow="fold")
    for test in rows:
        ratio = test.duration_s / test.est_s if test.est_s else None
        table.add_row(
            duration(test.duration_s),
            duration(test.est_s) if test.est_s else "-",
            Text("-" if ratio is None else f"{ratio:.1f} x", style="yellow" if ratio and ratio > 1.5 else ""),
            one_line(test.id),
        )
    return table


def _by_reason(title: str, groups: Mapping[str, Sequence[str]]) -> RenderableType | None:
    """Tests by the reason for which they count for nothing."""
    if not groups:
        return None
    lines: list[RenderableType] = [Text(title, style="bold")]
    for reason, names in groups.items():
        lines.append(Text(f"  {len(names)} {one_line(reason)}", style="yellow"))
        lines += [Text(f"      {one_line(name)}", style="dim") for name in names]
    return Group(*lines)


def _roles(record: RunRecord) -> RenderableType | None:
    """The servers behind each attempt that has any."""
    found = model.roles(record)
    lines: list[RenderableType] = [Text("Roles", style="bold")]
    for name, roles in found.items():
        lines.append(Text(f"  {one_line(name)}", style="yellow"))
        lines += [Text(f"      {one_line(model.role_words(role))}", style="dim") for role in roles]
    return Group(*lines) if found else None


def _quarantined(record: RunRecord) -> RenderableType | None:
    rows = model.quarantined(record)
    if not rows:
        return None
    lines: list[RenderableType] = [Text("Quarantine", style="bold")]
    for item in rows:
        name, style = one_line(item.row.test), _QUARANTINE_STYLES[item.state]
        lines.append(Text(f"  QUARANTINED {name}", style=style))
        lines.append(Text(f"      {one_line(item.words)}", style="dim"))
    return Group(*lines)


def _workers(record: RunRecord) -> Table | None:
    rows = worker_rows(record)
    if not rows:
        return None
    table = new_table(title="Nodes")
    table.add_column("node", no_wrap=True)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("slots", justify="right", no_wrap=True)
    table.add_column("used", justify="right", no_wrap=True)
    table.add_column("how it ended", overflow="fold")
    for row in rows:
        words = Text(one_line(row.words), style="bold red" if row.is_lost else "")
        table.add_row(one_line(row.node), str(row.attempts), str(row.slots), row.busy, words)
    return table


def _phases(record: RunRecord, tails: LogTails) -> RenderableType | None:
    rows = model.phase_rows(record)
    if not rows:
        return None
    table = new_table(title="Phases")
    table.add_column("outcome", no_wrap=True)
    table.add_column("phase", overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("moved", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    parts: list[RenderableType] = [table]
    for phase in rows:
        table.add_row(
            Text(phase.outcome.value, style=_PHASE_STYLES[phase.outcome]),
            one_line(phase.phase),
            duration(phase.duration_s),
            model.phase_amount(phase),
            one_line(strip_ansi(phase.result or phase.text)),
        )
        parts += _phase_trouble(phase, tails)
    return Group(*parts)


def _phase_trouble(phase: PhaseRecord, tails: LogTails) -> Iterator[RenderableType]:
    """What a phase that did not end well has to say."""
    if phase.outcome in (PhaseOutcome.OK, PhaseOutcome.SKIPPED):
        return
    style = "yellow" if phase.outcome is PhaseOutcome.WARNED else "red"
    if phase.details:
        yield Text(f"{one_line(phase.phase)}:", style=f"bold {style}")
        yield Padding(Text("\n".join(one_line(strip_ansi(line)) for line in phase.details)), (0, 0, 0, 4))
    tail = tails.named(phase.log) if phase.log and phase.outcome is not PhaseOutcome.WARNED else None
    if tail is not None:
        note = f" ({tail.note})" if tail.note else ""
        yield Text(f"last lines of {one_line(phase.log)}{note}:", style="bold")
        yield Padding(Text(visible(tail.text), style="dim"), (0, 0, 0, 4))


def _troubles(record: RunRecord, tails: LogTails, limits: ReportLimits) -> RenderableType | None:
    found = model.troubles(record)
    if not found:
        return None
    parts: list[RenderableType] = []
    for symptom, tests in model.shared_symptoms(record).items():
        parts.append(Text(one_line(model.symptom_words(symptom, tests)), style="bold"))
        parts += [Text(f"    {one_line(test.id)}", style="dim") for test in tests]
        parts.append(Text(""))
    for trouble in found:
        parts += _trouble(trouble, tails, limits)
    return Group(*parts)


def _trouble(trouble: model.Trouble, tails: LogTails, limits: ReportLimits) -> Iterator[RenderableType]:
    test, attempt = trouble.test, trouble.attempt
    style = "red" if trouble.final else "yellow"
    held = "QUARANTINED, " if test.status is Status.QUARANTINED else ""
    heading = f"{one_line(test.id)}: {held}{one_line(attempt.end.verdict)}, attempt {attempt.number} of {attempt.start.of}"
    yield Rule(Text(heading, style=f"bold {style}"), align="left", style=style, characters="-")
    if ending := model.ending(attempt):
        yield Text(f"{one_line(ending)} after {duration(attempt.end.duration_s)}", style="dim")
    if attempt.end.symptom:
        yield Text.assemble(("symptom: ", "dim"), one_line(attempt.end.symptom), overflow="fold")
    for case in attempt.failed_cases:
        name = one_line(case_name(case.case, test.id))
        yield Text.assemble((f"{one_line(model.case_place(case))} ", "cyan"), (name, "bold"), overflow="fold")
        words = clip(visible(strip_ansi(case.details or case.message)), limits.case_lines)
        yield Padding(Text(words, style=style), (0, 0, 0, 4))
    if attempt.end.evidence:
        rule = f" (rule {one_line(attempt.end.rule)})" if attempt.end.rule else ""
        yield Text(f"evidence for {one_line(attempt.end.verdict)}{rule}:", style="bold")
        yield Padding(
            Text("\n".join(one_line(strip_ansi(line)) for line in attempt.end.evidence)), (0, 0, 0, 4)
        )
    for leftover in attempt.end.leftovers:
        yield Text(one_line(leftover.words), style="yellow")
    tail = tails.of(attempt)
    note = f" ({tail.note})" if tail.note else ""
    yield Text(f"last lines of {one_line(attempt.start.log) or 'the log'}{note}:", style="bold")
    if tail.lines:
        yield Padding(Text(visible(tail.text), style="dim"), (0, 0, 0, 4))
    yield Text("")


def _facts(record: RunRecord) -> RenderableType:
    """What the run was; a rehearsal with what stood in."""
    shown = {
        name: one_line(value) for name, value in model.facts(record).items() if name not in ("stage", "job")
    }
    words = one_line(model.rehearsal_words(record))
    return Group(*([Text(words, style="bold yellow")] if words else []), fact_table(shown))
