"""A triage for people, for a pull request, and for machines."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ci.catalog.verdicts import Status
from ci.report.console import Console, Text, fact_table
from ci.report.text import one_line, strip_ansi
from ci.repro.triage.values import Ran, TriagedJob, TriagedTest

__all__ = ["markdown_of", "report_of", "show_jobs"]

_FENCE = re.compile(r"`{3,}")
# what a pull request's reader sees of a line of evidence
_LINE_CHARS = 400


def show_jobs(console: Console, jobs: Sequence[TriagedJob]) -> None:
    """Every job, what failed first."""
    for job in jobs:
        _print(console, _title(job), "bold")
        if job.stopped:
            _print(console, _stopped(job), "bold red")
            _lines(console, job.evidence)
            if job.symptom:
                _print(console, f"  symptom: {job.symptom}", "")
            _print(console, f"  next: {job.then}", "cyan")
        for test in job.tests:
            _show_test(console, test)
        for ran in job.ran:
            _print(console, f"ran {_ran_words(ran)}", "")
        facts = {fact.what: one_line(fact.value) for fact in job.set_up if fact.what != "note"}
        if facts:
            console.print(fact_table(facts))
        for fact in job.set_up:
            if fact.what == "note":
                _print(console, f"set-up: {fact.value}", "dim")
        if job.problem:
            _print(console, job.problem, "yellow")
        for text in job.dropped:
            _print(console, f"not in the line: {text}", "dim")
        for name, line in job.lines.items():
            console.print(Text.assemble((f"{name}: ", "dim"), (one_line(line), "bold")), soft_wrap=True)


def _show_test(console: Console, test: TriagedTest) -> None:
    row = test.status.row
    _print(console, f"{row.label} {test.file}: {_verdict(test)}", row.colour)
    for case in test.cases:
        _print(console, f"  case: {case.partition('::')[2] or case}", "")
    _lines(console, test.evidence)
    for name, text in _notes(test):
        _print(console, f"  {name}: {text}", "cyan" if name == "next" else "")


def _notes(test: TriagedTest) -> Iterator[tuple[str, str]]:
    """What is known of a failed test beside its verdict, and what to do."""
    if test.symptom:
        yield "symptom", test.symptom
    for row in test.quarantine:
        state = "quarantine that has expired" if row.expired else "quarantined"
        classes = f" on {', '.join(row.hardware)}" if row.hardware else ""
        yield state, f"{row.test}{classes} until {row.expires}: {row.reason} ({row.issue})"
    if test.status is Status.FLAKY:
        yield "flaky", f"it failed and passed later, in {test.attempts} attempts"
    if test.needs_gpu:
        yield "needs a GPU", test.needs_gpu
    if test.then:
        yield "next", test.then


def _verdict(test: TriagedTest) -> str:
    because = f"; {test.because}" if test.because else ""
    return f"{test.verdict} ({test.verdict.row.words}{because})"


def _title(job: TriagedJob) -> str:
    return f"{job.name or job.kind}: {job.source}" if job.source != job.name else job.source


def _stopped(job: TriagedJob) -> str:
    words = f"{job.verdict} ({job.verdict.row.words})" if job.verdict is not None else ""
    return f"{job.stopped}: {words}"


def _ran_words(ran: Ran) -> str:
    counts = [f"{ran.passed} passed"]
    counts += [f"{ran.failed} failed"] if ran.failed else []
    counts += [f"{ran.flaky} of the passed flaky"] if ran.flaky else []
    counts += [f"{ran.not_run} not reached"] if ran.not_run else []
    amount = f" of {ran.amount}" if ran.amount is not None else ""
    if ran.amount == 0:
        return f"{ran.what}: no test was found"
    return f"{ran.what}: {', '.join(counts)}{amount}"


def _lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        _print(console, f"  | {one_line(strip_ansi(line))}", "")


def _print(console: Console, text: str, style: str) -> None:
    console.print(Text(one_line(text), style=style), soft_wrap=True)


# --- Markdown -------------------------------------------------------------------------------------------------


def markdown_of(jobs: Sequence[TriagedJob]) -> str:
    """For a pull request: a table of the failed tests, and the rest folded."""
    return "\n".join(line for job in jobs for line in _markdown(job)) + "\n"


def _markdown(job: TriagedJob) -> Iterator[str]:
    yield f"### {_cell(job.name or job.kind)}"
    yield ""
    if job.stopped:
        yield f"**{_cell(_stopped(job))}**"
        yield ""
        yield from _fenced(job.evidence)
        yield f"Next: {_cell(job.then)}"
        yield ""
    if job.tests:
        yield "| test | verdict | symptom | next |"
        yield "| --- | --- | --- | --- |"
        for test in job.tests:
            notes = "".join(
                f"<br>{name}: {_cell(text)}" for name, text in _notes(test) if name not in ("symptom", "next")
            )
            what = "<br>".join(_code(case) for case in test.cases) or _code(test.file)
            cells = (
                f"{test.status.row.icon} {what}{notes}",
                _cell(_verdict(test)),
                _code(test.symptom) if test.symptom else "",
                _cell(test.then),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""
    for ran in job.ran:
        yield f"Ran {_cell(_ran_words(ran))}."
        yield ""
    if job.problem:
        yield _cell(job.problem)
        yield ""
    evidence = [
        line
        for test in job.tests
        for line in (f"{test.file}:", *(f"  {each[:_LINE_CHARS]}" for each in test.evidence))
        if test.evidence
    ]
    facts = [f"{fact.what}: {fact.value}" for fact in job.set_up]
    repeat = [f"# {name}\n{line}" for name, line in job.lines.items()]
    for title, lines in (
        ("evidence", evidence),
        ("set-up", facts),
        ("repeat it", [*repeat, *(f"# not in the line: {text}" for text in job.dropped)]),
    ):
        if lines:
            yield f"<details><summary>{title}</summary>"
            yield ""
            yield from _fenced(lines)
            yield "</details>"
            yield ""


def _fenced(lines: Sequence[str]) -> Iterator[str]:
    """Lines as they are: what they hold cannot end the block, and mentions nobody."""
    if not lines:
        return
    text = "\n".join(one_line(each) for line in lines for each in strip_ansi(line).split("\n"))
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    yield f"{fence}text"
    yield text
    yield fence
    yield ""


def _cell(text: str) -> str:
    """Text in a table's cell that is neither markup nor a mention."""
    plain = one_line(strip_ansi(text)).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return (
        plain.replace("@", "@\u200b")
        .replace("[", "\\[")
        .replace("*", "\\*")
        .replace("`", "\\`")
        .replace("_", "\\_")
    )


def _code(text: str) -> str:
    plain = one_line(strip_ansi(text)).replace("|", "\\|")
    fence = "``" if "`" in plain else "`"
    return f"{fence}{' ' if fence == '``' else ''}{plain}{' ' if fence == '``' else ''}{fence}"


# --- machines -------------------------------------------------------------------------------------------------


def report_of(jobs: Sequence[TriagedJob]) -> dict[str, Any]:
    """Everything, for machines; docs/triage.md names the fields."""
    return {"schema": 1, "jobs": [_plain(asdict(job)) for job in jobs]}


def _plain(value: Any) -> Any:
    """Closed sets as their words."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
