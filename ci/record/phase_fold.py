"""The phases of an executor, folded out of their events."""

from dataclasses import dataclass

from ci.record.event_log import Event
from ci.record.fields import number, text, texts
from ci.record.model import PhaseRecord

__all__ = ["PhaseFold"]


@dataclass(slots=True, kw_only=True)
class _Phase:
    """A phase while its events come in; `end` stays None when the record stops inside it."""

    name: str
    text: str
    started_s: float
    done: float | None = None
    total: float | None = None
    unit: str = ""
    end: Event | None = None


class PhaseFold:
    """Takes `phase-*` events in their order; a phase that comes twice is two."""

    def __init__(self) -> None:
        self._phases: list[_Phase] = []

    def take(self, event: Event, now_s: float) -> None:
        """Follow one event, which came `now_s` after the start of the run."""
        name = text(event, "phase")
        phase = next(
            (each for each in reversed(self._phases) if each.name == name and each.end is None), None
        )
        if phase is None or event.get("type") == "phase-started":
            # an end whose start is missing began when it says that it did
            started_s = max(0.0, now_s - number(event, "duration_s"))
            phase = _Phase(name=name, text="", started_s=started_s)
            self._phases.append(phase)
        match event.get("type"):
            case "phase-started":
                phase.text = text(event, "text")
            case "phase-progress":
                if event.get("done") is not None:
                    phase.done, phase.unit = number(event, "done"), text(event, "unit")
                phase.total = number(event, "total") if event.get("total") is not None else phase.total
            case _:
                phase.end = event

    def records(self, now_s: float) -> tuple[PhaseRecord, ...]:
        """All phases; one without an end lasted until `now_s`."""
        return tuple(_frozen(phase, now_s) for phase in self._phases)


def _frozen(phase: _Phase, now_s: float) -> PhaseRecord:
    end = phase.end
    return PhaseRecord(
        phase=phase.name,
        outcome="unfinished" if end is None else text(end, "outcome") or "failed",
        text=phase.text,
        said="" if end is None else text(end, "text"),
        started_s=phase.started_s,
        duration_s=max(0.0, now_s - phase.started_s) if end is None else number(end, "duration_s"),
        done=phase.done,
        total=phase.total,
        unit=phase.unit,
        log="" if end is None else text(end, "log"),
        details=() if end is None else texts(end, "details"),
    )
