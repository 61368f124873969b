"""When the events of a run happened, in seconds from its start, by the clocks of whoever sent them."""

from dataclasses import dataclass, field
from datetime import datetime

from ci.record import events as ev

__all__ = ["Moments", "moment_s"]


@dataclass(slots=True, kw_only=True)
class _Agent:
    """An agent's own clock and numbers count from its start."""

    began_s: float = 0.0
    next_seq: int | None = None


@dataclass(slots=True, kw_only=True)
class Moments:
    """Takes the events of a run in the order of the record; `now_s` is the latest moment so far.

    Events of one agent are in order. Those of several workers are recorded as they are read, so a worker's event may have happened
    before one of another worker that is already there.
    """

    now_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    _first: float | None = None
    _agents: dict[str, _Agent] = field(default_factory=dict)

    def take(self, event: ev.Event) -> float:
        """When this event happened."""
        if event.worker:
            moment = self._of_worker(event)
            self.now_s = max(self.now_s, moment)
            return moment
        self.now_s = max(self.now_s, self._passed_s(event))
        if event.by is not ev.By.AGENT:
            return self.now_s
        agent = self._agents.setdefault("", _Agent())
        if isinstance(event, ev.AgentStarted):
            agent.began_s, agent.next_seq = self.now_s, None
        if event.elapsed_s is not None:
            self.now_s = max(self.now_s, agent.began_s + event.elapsed_s)
        if event.seq is not None:
            if agent.next_seq is not None and event.seq != agent.next_seq:
                self.problems.append(f"events {agent.next_seq} to {event.seq - 1} of the agent are missing")
            agent.next_seq = event.seq + 1
        return self.now_s

    def _of_worker(self, event: ev.Event) -> float:
        """By the worker's own clock from its start on. What is recorded late is dated by the time that it has, never later."""
        recorded = self._recorded_s(event)
        agent = self._agents.get(event.worker)
        if isinstance(event, ev.WorkerStarted | ev.AgentStarted):
            self._agents[event.worker] = _Agent(began_s=recorded - (event.elapsed_s or 0.0))
            return recorded
        if event.by is ev.By.AGENT and event.elapsed_s is not None and agent is not None:
            return agent.began_s + event.elapsed_s
        return recorded

    def _recorded_s(self, event: ev.Event) -> float:
        moment = moment_s(event.time)
        dated = moment - self._first if moment is not None and self._first is not None else None
        known = [each for each in (event.at_s, dated) if each is not None]
        return max(0.0, min(known)) if known else self.now_s

    def _passed_s(self, event: ev.Event) -> float:
        """Seconds from the start of the run; a clock that was set must not change them."""
        moment = moment_s(event.time)
        if self._first is None:
            self._first = moment
        if event.by is ev.By.AGENT and event.elapsed_s is not None and not isinstance(event, ev.AgentStarted):
            return 0.0  # its own clock is better than when we read it
        if event.at_s is not None:
            return event.at_s
        # of records without it
        return moment - self._first if moment is not None and self._first is not None else 0.0


def moment_s(time: str) -> float | None:
    """An event's time in seconds since 1970, None when it has none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
