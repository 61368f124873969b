"""The phases of an executor as events: started, in progress, ended with an outcome, each with its log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ci.errors import CiError
from ci.record.events import Event, PhaseEnded, PhaseStarted
from ci.record.values import PhaseOutcome
from ci.system import clock

__all__ = ["Emit", "Phase", "Phases"]

Emit = Callable[[Event], None]


@dataclass(slots=True, kw_only=True)
class Phase:
    """A phase while it goes on: set what its end is to say."""

    id: str
    logs: Path
    shown_logs: str = "logs"
    outcome: PhaseOutcome = PhaseOutcome.OK
    text: str = ""
    details: list[str] = field(default_factory=list)
    log: str = ""

    def open_log(self) -> IO[bytes]:
        """`<phase>.log` in the folder of logs; the end of the phase names it, relative to the run folder."""
        name = f"{self.id.replace(':', '-')}.log"
        self.log = f"{self.shown_logs}/{name}"
        return (self.logs / name).open("ab")

    def warn(self, text: str) -> None:
        """It went on, but a reader has to know this."""
        self.outcome, self.text = PhaseOutcome.WARNED, text


class Phases:
    """Says what phases begin and how they end."""

    def __init__(self, emit: Emit, logs: Path, shown_logs: str = "logs") -> None:
        """`logs` is the folder of their logs, `shown_logs` its path in the run folder."""
        self.emit = emit
        self._logs = logs
        self._shown_logs = shown_logs

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[Phase]:
        """Emit its start and its end; an exception makes it `failed`, with what the error says."""
        phase = Phase(id=name, logs=self._logs, shown_logs=self._shown_logs)
        self.emit(PhaseStarted(phase=name, text=text))
        began = clock.monotonic_s()
        try:
            yield phase
        except CiError as error:
            phase.outcome, phase.text = PhaseOutcome.FAILED, error.what
            phase.details += [str(problem) for problem in error.problems]
            raise
        except BaseException as error:
            phase.outcome, phase.text = PhaseOutcome.FAILED, f"{type(error).__name__}: {error}"
            raise
        finally:
            self.emit(
                PhaseEnded(
                    phase=name,
                    outcome=phase.outcome,
                    duration_s=round(clock.monotonic_s() - began, 3),
                    text=phase.text,
                    log=phase.log,
                    details=tuple(phase.details),
                )
            )
