"""report.html: the whole record in one file that needs nothing else, in light or dark."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from ci.record.model import RunRecord, TestRecord
from ci.report import model
from ci.report.log_tail import LogTails
from ci.report.repeat import repeat, repeat_test
from ci.report.text import case_name, duration, one_line, strip_ansi, unverified_words, visible

__all__ = ["html_report"]

# The timeline's own units: the drawing scales with the window.
_CHART_WIDTH = 1000.0
_ROW_HEIGHT = 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    x: float
    width: float
    outcome: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    """One test's row in the timeline; `estimate` is where it should have ended."""

    name: str
    y: float
    bars: tuple[_Bar, ...]
    estimate: _Bar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tick:
    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timeline:
    height: float
    lanes: tuple[_Lane, ...]
    ticks: tuple[_Tick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gauge:
    """A metric beside its bound, both in percent of the bar's width; None where there is nothing to draw."""

    row: model.Measured
    value: float | None
    limit: float | None


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "line": lambda text: one_line(strip_ansi(text)),
        "lines": lambda text: visible(strip_ansi(text)),
        "duration": duration,
        "case_name": case_name,
    }
    environment.globals["model"] = model
    environment.globals["repeat_test"] = repeat_test
    return environment.get_template("report.html.j2")


def html_report(record: RunRecord, *, tails: LogTails) -> str:
    """The report as one HTML document."""
    return _template().render(
        record=record,
        result=model.result(record),
        facts=model.facts(record),
        counts=model.counts(record),
        baseline=model.baseline_words(record),
        rehearsal=model.rehearsal_words(record),
        unverified=unverified_words(record.start.unverified),
        command=repeat(record),
        timeline=_timeline(record),
        gauges=[_gauge(row) for row in model.measured(record)],
        phases=model.phase_rows(record),
        slowest=model.slowest(record),
        left_out=model.left_out(record),
        expected_failures=model.expected_failures(record),
        quarantined=model.quarantined(record),
        tails=tails,
    )


def _timeline(record: RunRecord) -> _Timeline | None:
    ran = sorted(
        (test for test in record.tests if test.attempts), key=lambda test: test.attempts[0].started_s
    )
    if not ran:
        return None
    end_s = max(
        max(attempt.started_s + attempt.end.duration_s, test.attempts[0].started_s + test.est_s)
        for test in ran
        for attempt in test.attempts
    )
    scale = _CHART_WIDTH / max(end_s, 0.001)
    lanes = tuple(_lane(test, number, scale) for number, test in enumerate(ran))
    ticks = tuple(_Tick(x=round(at * scale, 1), label=duration(at)) for at in _tick_times(end_s))
    return _Timeline(height=len(ran) * _ROW_HEIGHT, lanes=lanes, ticks=ticks)


def _lane(test: TestRecord, number: int, scale: float) -> _Lane:
    bars = tuple(
        _Bar(
            x=round(attempt.started_s * scale, 1),
            width=max(2.0, round(attempt.end.duration_s * scale, 1)),
            outcome=attempt.end.outcome if attempt.harmless else "failed",
            title=f"{test.id}, attempt {attempt.number}: {attempt.end.verdict} in {duration(attempt.end.duration_s)}",
        )
        for attempt in test.attempts
    )
    estimate = None
    if test.est_s:
        estimate = _Bar(
            x=bars[0].x,
            width=round(test.est_s * scale, 1),
            outcome="estimate",
            title=f"estimate {duration(test.est_s)}",
        )
    return _Lane(name=test.id, y=number * _ROW_HEIGHT, bars=bars, estimate=estimate)


def _tick_times(end_s: float) -> Iterator[float]:
    """Four to ten round times from 0 to the end."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    step = next((step for step in steps if end_s / step <= 8), 28800)
    count = int(end_s / step)
    yield from (number * step for number in range(min(count, 1000) + 1))


def _gauge(row: model.Measured) -> _Gauge:
    bound, value = row.metric.bound, row.metric.value
    if (
        not row.has_value
        or bound is None
        or not bound.op
        or min(value, bound.limit) < 0
        or max(value, bound.limit) <= 0
    ):
        return _Gauge(row=row, value=None, limit=None)
    full = max(value, bound.limit) * 1.1
    return _Gauge(row=row, value=round(100 * value / full, 1), limit=round(100 * bound.limit / full, 1))
