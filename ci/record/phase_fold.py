"""The phases of an executor, folded out of their events."""

from dataclasses import dataclass

from ci.record.events import PhaseEnded, PhaseProgress, PhaseStarted
from ci.record.model import PhaseRecord
from ci.record.values import PhaseOutcome

__all__ = ["PhaseFold"]


@dataclass(slots=True, kw_only=True)
class _Phase:
    """A phase while its events come in; `end` stays None when the record stops inside it."""

    name: str
    worker: str
    text: str
    started_s: float
    done: float | None = None
    total: float | None = None
    unit: str = ""
    end: PhaseEnded | None = None


class PhaseFold:
    """Takes events of phases in their order; a phase that comes twice is two."""

    def __init__(self) -> None:
        self._phases: list[_Phase] = []

    def take(self, event: PhaseStarted | PhaseProgress | PhaseEnded, now_s: float) -> None:
        """Follow one event, which came `now_s` after the start of the run."""
        phase = next(
            (
                each
                for each in reversed(self._phases)
                if (each.name, each.worker) == (event.phase, event.worker) and each.end is None
            ),
            None,
        )
        if phase is None or isinstance(event, PhaseStarted):
            # an end whose start is missing began when it says that it did
            lasted_s = event.duration_s if isinstance(event, PhaseEnded) else 0.0
            phase = _Phase(
                name=event.phase, worker=event.worker, text="", started_s=max(0.0, now_s - lasted_s)
            )
            self._phases.append(phase)
        match event:
            case PhaseStarted():
                phase.text = event.text
            case PhaseProgress():
                if event.done is not None:
                    phase.done, phase.unit = event.done, event.unit
                phase.total = event.total if event.total is not None else phase.total
            case PhaseEnded():
                phase.end = event

    def records(self, now_s: float) -> tuple[PhaseRecord, ...]:
        """All phases; one without an end lasted until `now_s`."""
        return tuple(_frozen(phase, now_s) for phase in self._phases)


def _frozen(phase: _Phase, now_s: float) -> PhaseRecord:
    end = phase.end or PhaseEnded(
        phase=phase.name,
        outcome=PhaseOutcome.UNFINISHED,
        duration_s=max(0.0, now_s - phase.started_s),
    )
    return PhaseRecord(
        phase=phase.name,
        worker=phase.worker,
        outcome=end.outcome,
        text=phase.text,
        result=end.text,
        started_s=phase.started_s,
        duration_s=end.duration_s,
        done=phase.done,
        total=phase.total,
        unit=phase.unit,
        log=end.log,
        details=end.details,
    )
