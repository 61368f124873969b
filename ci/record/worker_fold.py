"""The workers of a run on several nodes, folded out of their events."""

from dataclasses import replace

from ci.record.events import WorkerEnded, WorkerLost, WorkerStarted
from ci.record.model import WorkerRecord

__all__ = ["WorkerFold"]


class WorkerFold:
    """Takes events of workers in their order; there are none in a run on one machine."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerRecord] = {}

    def take(self, event: WorkerStarted | WorkerEnded | WorkerLost, moment_s: float) -> None:
        """Follow one event, which came `moment_s` after the start of the run."""
        worker = self._workers.get(event.worker) or WorkerRecord(id=event.worker, started_s=moment_s)
        match event:
            case WorkerStarted():
                worker = replace(
                    worker,
                    node=event.node,
                    host=event.host,
                    python=event.python,
                    slots=event.slots,
                    started_s=moment_s,
                )
            case WorkerEnded():
                worker = replace(worker, ended_s=moment_s, reason=event.reason, text=event.text)
            case WorkerLost():
                worker = replace(
                    worker,
                    node=worker.node or event.node,
                    ended_s=moment_s,
                    is_lost=True,
                    text=event.because,
                    again=event.tests,
                )
        self._workers[event.worker] = worker

    def records(self) -> tuple[WorkerRecord, ...]:
        """All workers in the order in which they appeared."""
        return tuple(self._workers.values())

    def get(self, number: str) -> WorkerRecord:
        """As `RunRecord.worker`."""
        return self._workers.get(number) or WorkerRecord(id=number)
