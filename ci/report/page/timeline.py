"""The run in real time: a lane for each phase and test, and the path that decided how long it took."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ci.catalog.verdicts import Status
from ci.record.model import Attempt, PhaseRecord, RunRecord, TestRecord
from ci.record.values import PhaseOutcome
from ci.report import model
from ci.report.page.cards import Card
from ci.report.text import duration

__all__ = ["Bar", "Lane", "Step", "Tick", "Timeline", "timeline"]

# the steps of the critical path that are named, longest first
_STEPS = 8
# ends and starts this close follow each other: there is always something to clear away between them
_NEXT_S = 1.0
# two clocks, the agent's and ours, are this far apart at most
_CLOCK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span of time in percent of the whole; `kind` is its colour, which alone says what a wait is."""

    left: float
    width: float
    kind: str
    title: str
    critical: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One row; `anchor` is the card that it belongs to, empty for a phase."""

    name: str
    anchor: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The lanes of one run, or of one node of it; its name is shown where there are several."""

    name: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A time on the axis."""

    left: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the critical path: an attempt, a phase or a wait, and its share of the whole in percent."""

    name: str
    anchor: str
    duration_s: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The drawing, and what decided how long the run took: `steps` are the longest, `others` is how many more there are."""

    sections: tuple[Section, ...]
    ticks: tuple[Tick, ...]
    steps: tuple[Step, ...]
    others: int
    others_s: float
    path_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A phase or an attempt in time."""

    name: str
    anchor: str
    start_s: float
    end_s: float
    waits: bool = False


def timeline(record: RunRecord, cards: Sequence[Card]) -> Timeline | None:
    """None for a run in which nothing was started."""
    of_run = _of_runs(record, cards)
    spans = [_spans(run, own) for _, run, own in of_run]
    end_s = max((span.end_s for each in spans for span in each), default=0.0)
    if not end_s:
        return None
    longest = max(range(len(spans)), key=lambda at: max((span.end_s for span in spans[at]), default=0.0))
    path = _critical(spans[longest])
    critical = {(span.anchor or span.name, span.start_s) for span in path}
    scale = 100 / end_s
    steps = [_step(span, scale) for span in path]
    steps.sort(key=lambda step: -step.duration_s)
    return Timeline(
        sections=tuple(
            section for name, run, own in of_run for section in _sections(name, run, own, scale, critical)
        ),
        ticks=tuple(Tick(left=round(at * scale, 2), label=duration(at)) for at in _tick_times(end_s)),
        steps=tuple(steps[:_STEPS]),
        others=len(steps[_STEPS:]),
        others_s=sum(step.duration_s for step in steps[_STEPS:]),
        path_of=of_run[longest][0],
    )


def _of_runs(record: RunRecord, cards: Sequence[Card]) -> list[tuple[str, RunRecord, tuple[Card, ...]]]:
    """The runs of the record with their names and cards: itself alone unless it is a merged one."""
    if not record.parts:
        return [("", record, tuple(cards))]
    by_test = {id(card.test): card for card in cards}
    return [
        (part.name, part.record, tuple(by_test[id(test)] for test in part.record.tests))
        for part in record.parts
    ]


def _spans(record: RunRecord, cards: Sequence[Card]) -> list[_Span]:
    found = [
        _Span(name=phase.phase, anchor="", start_s=phase.started_s, end_s=phase.started_s + phase.duration_s)
        for phase in model.phase_rows(record)
    ]
    for card in cards:
        found += _spans_of(card)
    return found


def _spans_of(card: Card) -> Iterator[_Span]:
    before: Attempt | None = None
    for attempt in card.test.attempts:
        if before is not None:
            wait_from = before.started_s + before.end.duration_s
            name = f"wait before attempt {attempt.number} of {card.test.id}"
            yield _Span(name=name, anchor=card.anchor, start_s=wait_from, end_s=attempt.started_s, waits=True)
        several = f", attempt {attempt.number}" if len(card.test.attempts) > 1 else ""
        yield _Span(
            name=f"{card.test.id}{several}",
            anchor=card.anchor,
            start_s=attempt.started_s,
            end_s=attempt.started_s + attempt.end.duration_s,
        )
        before = attempt


def _critical(spans: Sequence[_Span]) -> list[_Span]:
    """From the span that ended last back to the start: before each the one that ended last before it began.

    A wait before a retry counts only where nothing else ran until then.
    """
    path: list[_Span] = []
    ordered = sorted(spans, key=lambda span: (span.end_s, not span.waits))
    at = float("inf")
    for span in reversed(ordered):
        if span.end_s <= at + _CLOCK_S and span.start_s < at:
            gap_s = at - span.end_s
            if path and gap_s > _NEXT_S:
                after = path[-1]
                name = f"gap before {after.name}"
                path.append(_Span(name=name, anchor=after.anchor, start_s=span.end_s, end_s=at, waits=True))
            path.append(span)
            at = span.start_s
    if path and at > _NEXT_S:
        path.append(_Span(name="before the first", anchor="", start_s=0.0, end_s=at, waits=True))
    return path


def _step(span: _Span, scale: float) -> Step:
    lasted_s = span.end_s - span.start_s
    return Step(name=span.name, anchor=span.anchor, duration_s=lasted_s, share=round(lasted_s * scale, 1))


def _sections(
    name: str, record: RunRecord, cards: Sequence[Card], scale: float, critical: set[tuple[str, float]]
) -> Iterator[Section]:
    """One for a run on one machine; else one for what is no worker's, where there is any, and one for each worker."""
    if not record.workers:
        yield Section(name=name, lanes=tuple(_lanes(record, cards, scale, critical)))
        return
    if lanes := tuple(_lanes(record, cards, scale, critical)):
        yield Section(name=name, lanes=lanes)
    for worker in record.workers:
        shown = f"{worker.name}, lost" if worker.is_lost else worker.name
        lanes = tuple(_lanes(record, cards, scale, critical, worker=worker.id))
        yield Section(name=f"{name}: {shown}" if name else shown, lanes=lanes)


def _lanes(
    record: RunRecord,
    cards: Sequence[Card],
    scale: float,
    critical: set[tuple[str, float]],
    *,
    worker: str = "",
) -> Iterator[Lane]:
    """What is this worker's, in the order in which it began."""
    own = [(card, [each for each in card.test.attempts if each.worker == worker]) for card in cards]
    ran = [(card, attempts) for card, attempts in own if attempts]
    ready_s = min((attempts[0].started_s for _, attempts in ran), default=0.0)
    found = [
        (phase.started_s, Lane(name=phase.phase, anchor="", bars=(_phase_bar(phase, scale, critical),)))
        for phase in model.phase_rows(record)
        if phase.worker == worker
    ]
    found += [
        (
            attempts[0].started_s,
            Lane(
                name=card.test.id,
                anchor=card.anchor,
                bars=tuple(_bars(card, attempts, scale, ready_s, critical)),
            ),
        )
        for card, attempts in ran
    ]
    for _, lane in sorted(found, key=lambda pair: pair[0]):
        yield lane


def _phase_bar(phase: PhaseRecord, scale: float, critical: set[tuple[str, float]]) -> Bar:
    bad = phase.outcome in (PhaseOutcome.FAILED, PhaseOutcome.UNFINISHED)
    return _bar(
        phase.started_s,
        phase.duration_s,
        scale,
        "failed" if bad else "phase",
        f"{phase.phase}: {phase.outcome}",
        critical=(phase.phase, phase.started_s) in critical,
    )


def _bars(
    card: Card,
    attempts: Sequence[Attempt],
    scale: float,
    ready_s: float,
    critical: set[tuple[str, float]],
) -> Iterator[Bar]:
    """Waiting for its turn, then the attempts with the waits between them."""
    test = card.test
    first_s = attempts[0].started_s
    if first_s > ready_s:
        yield _bar(ready_s, first_s - ready_s, scale, "wait", "")
    before_s = None
    for attempt in attempts:
        if before_s is not None:
            yield _bar(before_s, attempt.started_s - before_s, scale, "retry", "")
        yield _bar(
            attempt.started_s,
            attempt.end.duration_s,
            scale,
            _kind(test, attempt),
            f"attempt {attempt.number}: {attempt.end.verdict}",
            critical=(card.anchor, attempt.started_s) in critical,
        )
        for server in attempt.servers:
            yield _bar(
                server.started_s, server.ready_s - server.started_s, scale, "server", "start of the server"
            )
        before_s = attempt.started_s + attempt.end.duration_s


def _kind(test: TestRecord, attempt: Attempt) -> str:
    if attempt.harmless:
        return attempt.end.outcome
    return "quarantined" if test.status is Status.QUARANTINED else "failed"


def _bar(
    start_s: float, lasted_s: float, scale: float, kind: str, words: str, *, critical: bool = False
) -> Bar:
    return Bar(
        left=round(start_s * scale, 2),
        width=max(0.0, round(lasted_s * scale, 2)),
        kind=kind,
        title=f"{words}, {duration(lasted_s)}" if words else "",
        critical=critical,
    )


def _tick_times(end_s: float) -> Iterator[float]:
    """Three to eight round times from 0 to the end."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    step = next((step for step in steps if end_s / step <= 7), 28800)
    count = int(end_s / step)
    yield from (number * step for number in range(min(count, 1000) + 1))
