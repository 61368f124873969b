"""What a run shows before its first test: what, why it is no pass, where; then what it leaves out."""

from collections.abc import Iterator
from dataclasses import dataclass

from ci.catalog.verdicts import Tone
from ci.record.events import RunStarted
from ci.record.model import title_of
from ci.report.text import duration, never_run_words, one_line, unverified_words

__all__ = ["Line", "start_lines"]

# of a digest or a commit: enough to tell two apart
_SHORT = 12
# from here on an estimate is in minutes
_MINUTES_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line without a line break; `tone` is how it is coloured where there are colours."""

    text: str
    tone: Tone = "plain"


def start_lines(run: RunStarted) -> Iterator[Line]:
    """Three lines, and one more for each thing that the run leaves out or does not judge."""
    est_s = sum(test.est_s for test in run.tests)
    about_s = 60 * round(est_s / 60) if est_s >= _MINUTES_S else est_s
    estimate = f", about {duration(about_s)} on its hardware" if est_s else ""
    count = f"{len(run.tests)} test{'s' if len(run.tests) != 1 else ''}"
    yield Line(text=f"{one_line(title_of(run))}: {count}{estimate}", tone="title")
    if run.unverified:
        yield Line(text=unverified_words(run.unverified), tone="bad")
    if run.never_run:
        yield Line(text=never_run_words(run.never_run), tone="bad")
    if run.rehearsal:
        reasons = (run.rehearsal_because or "without its hardware", ", ".join(run.stood_in))
        because = one_line("; ".join(filter(None, reasons)))
        yield Line(text=f"REHEARSAL, never a pass of the stage: {because}", tone="warn")
    commit = run.commit[:_SHORT] + ("+dirty" if "+dirty" in run.commit else "")
    where = [run.hardware_class, run.executor, run.engine]
    where += [
        f"{name} {value}"
        for name, value in (("commit", commit), ("plan", run.plan_digest[:_SHORT]), ("run", run.run))
        if value
    ]
    yield Line(text="on " + ", ".join(one_line(part) for part in where if part))
    yield from _left_out(run)


def _left_out(run: RunStarted) -> Iterator[Line]:
    """What was selected and is not run, grouped by reason; quarantined tests are notes of the plan."""
    suites: dict[str, list[str]] = {}
    for row in run.skipped_suites:
        suites.setdefault(row.because, []).append(row.suite)
    for because, names in suites.items():
        word = "suite" if len(names) == 1 else "suites"
        yield Line(text=one_line(f"left out: {word} {', '.join(names)}: {because}"), tone="dim")
    for shard in run.empty_shards:
        text = f"shard {one_line(shard.shard)} of suite {one_line(shard.suite)} holds no test"
        yield Line(text=text, tone="dim")
    disabled: dict[str, list[str]] = {}
    for test in run.disabled:
        disabled.setdefault(test.because, []).append(test.test)
    for because, names in disabled.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Line(text=one_line(f"disabled: {names[0]}{more}: {because}"), tone="dim")
