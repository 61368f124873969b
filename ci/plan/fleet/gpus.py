"""The GPUs of a pool: who has them, who waits for them, and how many were busy in each hour."""

from collections import deque
from collections.abc import Callable
from typing import Final

from ci.catalog.fleet import HOURS, QueueOrder
from ci.plan.fleet.model import HourRow, PoolSpec

__all__ = ["GpuPool", "Ticket"]

_HOUR_S: Final = 3600.0


class Ticket:
    """A job's place in the queue, then on a machine."""

    __slots__ = ("asked_s", "gpus", "granted", "machine", "number", "withdrawn")

    def __init__(self, gpus: int, asked_s: float, granted: Callable[[], None]) -> None:
        """`granted` is called when the GPUs are its own; it must not ask for others at once."""
        self.gpus = gpus
        self.asked_s = asked_s
        self.granted = granted
        self.number = 0
        self.machine = -1
        self.withdrawn = False


class GpuPool:
    """Machines by their free GPUs; a job gets the fullest machine on which it fits."""

    def __init__(self, spec: PoolSpec, order: QueueOrder, *, counted_s: tuple[float, float]) -> None:
        """Everything is free; means are counted between the two times."""
        self.spec = spec
        self.busy_gpu_s = 0.0
        self.waiting = 0
        # under way now
        self.pulls = 0
        self._free: list[dict[int, None]] = [{} for _ in range(spec.gpus + 1)]
        self._free[spec.gpus] = dict.fromkeys(range(spec.machines))
        self._free_on = [spec.gpus] * spec.machines
        # by the GPUs that are asked for; one queue for all where nobody may be overtaken
        self._queues: dict[int, deque[Ticket]] = {}
        self._one_queue = order is QueueOrder.FIRST_COME
        self._asked = 0
        self._busy = 0
        self._from_s, self._to_s = counted_s
        self._at_s = 0.0
        self._busy_s = [0.0] * HOURS
        self._waiting_s = [0.0] * HOURS

    def ask(self, ticket: Ticket, now_s: float) -> None:
        """Wait for GPUs."""
        self._count_to(now_s)
        self._asked += 1
        ticket.number = self._asked
        self._queues.setdefault(0 if self._one_queue else ticket.gpus, deque()).append(ticket)
        self.waiting += 1
        self._grant()

    def release(self, ticket: Ticket, now_s: float) -> None:
        """Give the GPUs back."""
        self._count_to(now_s)
        self._move(ticket.machine, ticket.gpus)
        self._busy -= ticket.gpus
        self._grant()

    def withdraw(self, ticket: Ticket, now_s: float) -> None:
        """Stop waiting."""
        self._count_to(now_s)
        ticket.withdrawn = True
        self.waiting -= 1
        self._grant()

    def end(self, now_s: float) -> tuple[HourRow, ...]:
        """The means of each hour of the day, once nothing more happens before `now_s`."""
        self._count_to(now_s)
        days = (self._to_s - self._from_s) / (HOURS * _HOUR_S)
        return tuple(
            HourRow(busy_gpus=busy / (days * _HOUR_S), waiting_jobs=waiting / (days * _HOUR_S))
            for busy, waiting in zip(self._busy_s, self._waiting_s, strict=True)
        )

    def _grant(self) -> None:
        while (ticket := self._next()) is not None:
            gpus = ticket.gpus
            free = next(free for free in range(gpus, self.spec.gpus + 1) if self._free[free])
            ticket.machine = next(iter(self._free[free]))
            self._queues[0 if self._one_queue else gpus].popleft()
            self._move(ticket.machine, -gpus)
            self._busy += gpus
            self.waiting -= 1
            ticket.granted()

    def _next(self) -> Ticket | None:
        """The first that waits and fits; with one queue the first alone is asked."""
        found: Ticket | None = None
        most = next((free for free in range(self.spec.gpus, 0, -1) if self._free[free]), 0)
        for queue in self._queues.values():
            while queue and queue[0].withdrawn:
                queue.popleft()
            if queue and queue[0].gpus <= most and (found is None or queue[0].number < found.number):
                found = queue[0]
        return found

    def _move(self, machine: int, more: int) -> None:
        before = self._free_on[machine]
        del self._free[before][machine]
        self._free_on[machine] = before + more
        self._free[before + more][machine] = None

    def _count_to(self, now_s: float) -> None:
        """Add what was busy and waited since the last change to the hours of the day."""
        at_s, self._at_s = self._at_s, now_s
        if now_s <= self._from_s or at_s >= self._to_s or now_s <= at_s:
            return
        at_s, now_s = max(at_s, self._from_s), min(now_s, self._to_s)
        self.busy_gpu_s += self._busy * (now_s - at_s)
        while at_s < now_s:
            hour = int(at_s // _HOUR_S)
            until_s = min(now_s, (hour + 1) * _HOUR_S)
            self._busy_s[hour % HOURS] += self._busy * (until_s - at_s)
            self._waiting_s[hour % HOURS] += self.waiting * (until_s - at_s)
            at_s = until_s
