"""The simulation: events arrive, their jobs wait for GPUs, are set up, run, fail, and run again."""

import math
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from typing import Final

import simpy

from ci.catalog.change_rules import Selects
from ci.catalog.fleet import Failure
from ci.plan.fleet.draws import Draws, arrival_times
from ci.plan.fleet.gpus import GpuPool, Ticket
from ci.plan.fleet.measure import pool_result, traffic_result
from ci.plan.fleet.model import FleetResult, JobSpec, Scenario, Traffic

__all__ = ["simulate"]

_DAY_S: Final = 86400.0
# after the last event that is counted: what still waits then is `unfinished`
_DRAIN_DAYS: Final = 1.0

_Steps = Generator[simpy.Event, object, None]


@dataclass(slots=True)
class PoolCounts:
    """What is noted of a pool while it runs, of the jobs that ask in the days that are counted."""

    waits_s: list[float] = field(default_factory=list)
    set_up_gpu_s: float = 0.0
    lost_gpu_s: float = 0.0
    offered_gpu_s: float = 0.0
    jobs: int = 0


@dataclass(slots=True)
class TrafficCounts:
    """What is noted of the events of one kind."""

    events: int = 0
    idle: int = 0
    unlucky: int = 0
    unfinished_green: int = 0
    unfinished_red: int = 0
    green_s: list[float] = field(default_factory=list)
    red_s: list[float] = field(default_factory=list)


class _Job:
    """One job of an event: `work_s` and its luck are drawn before, what happens to it is noted."""

    __slots__ = (
        "counted",
        "ended_s",
        "failed",
        "fault_at",
        "granted_s",
        "pool",
        "run_s",
        "running",
        "set_up_s",
        "spec",
        "tests_from_s",
        "ticket",
    )

    def __init__(self, spec: JobSpec, pool: GpuPool, *, set_up_s: float, run_s: float, counted: bool) -> None:
        self.spec = spec
        self.pool = pool
        self.set_up_s = set_up_s
        self.run_s = run_s
        self.counted = counted
        # share of its tests after which the change's own fault ends it; below 0: it has none
        self.fault_at = -1.0
        self.ticket: Ticket | None = None
        self.granted_s = 0.0
        self.tests_from_s = 0.0  # the end of its set-up
        self.ended_s = 0.0
        self.running = False
        self.failed = False


class _Event:
    """A change or a scheduled run: its jobs, and what it waits for now."""

    __slots__ = (
        "counted",
        "counts",
        "critical",
        "draws",
        "fails",
        "first_red_s",
        "jobs",
        "left",
        "traffic",
        "wave_over",
    )

    def __init__(self, traffic: Traffic, draws: Draws, counts: TrafficCounts, *, counted: bool) -> None:
        self.traffic = traffic
        self.draws = draws
        self.counts = counts
        self.counted = counted
        self.jobs: list[_Job] = []
        # of each wave that ended
        self.critical: list[tuple[str, float]] = []
        self.fails = False
        self.first_red_s = -1.0
        self.left = 0
        self.wave_over: simpy.Event | None = None


def simulate(scenario: Scenario) -> FleetResult:
    """Simulate the days of a scenario; the same one always gives the same result."""
    return _Simulation(scenario).run()


class _Simulation:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.env = simpy.Environment()
        self.from_s = scenario.warm_up_days * _DAY_S
        self.to_s = self.from_s + scenario.days * _DAY_S
        self.pools = {
            spec.id: GpuPool(spec, scenario.policy.queue, counted_s=(self.from_s, self.to_s))
            for spec in scenario.pools
        }
        self.pool_counts = {spec.id: PoolCounts() for spec in scenario.pools}
        self.counts = [TrafficCounts() for _ in scenario.traffic]
        self.critical_s: dict[str, float] = defaultdict(float)
        self.jobs = 0
        self.open: dict[_Event, None] = {}

    def run(self) -> FleetResult:
        self.env.process(self._arrivals())
        self.env.run(until=self.to_s + _DRAIN_DAYS * _DAY_S)
        for event in self.open:
            if event.fails and event.first_red_s < 0:
                event.counts.unfinished_red += 1
            elif not event.fails:
                event.counts.unfinished_green += 1
        green = len(self.counts[0].green_s) if self.counts else 0
        return FleetResult(
            pools=tuple(
                pool_result(pool, self.pool_counts[name], days=self.scenario.days, hours=pool.end(self.to_s))
                for name, pool in self.pools.items()
            ),
            traffic=tuple(
                traffic_result(traffic.id, counts)
                for traffic, counts in zip(self.scenario.traffic, self.counts, strict=True)
            ),
            jobs=self.jobs,
            days=self.scenario.days,
            critical_s={name: seconds / max(1, green) for name, seconds in self.critical_s.items()},
        )

    def _arrivals(self) -> _Steps:
        days = self.scenario.warm_up_days + self.scenario.days
        seed = self.scenario.seed

        def times(number: int, traffic: Traffic) -> Iterable[tuple[float, int]]:
            return (
                (at, number) for at in arrival_times(seed, number, traffic.per_day, traffic.by_hour, days)
            )

        streams = [times(number, traffic) for number, traffic in enumerate(self.scenario.traffic)]
        for stream, (at_s, number) in enumerate(merge(*streams)):
            yield self.env.timeout(max(0.0, at_s - self.env.now))
            self._arrive(number, Draws(seed, stream))

    def _arrive(self, number: int, draws: Draws) -> None:
        traffic, counts = self.scenario.traffic[number], self.counts[number]
        counted = self.env.now >= self.from_s
        event = _Event(traffic, draws, counts, counted=counted)
        counts.events += counted
        # drawn for all jobs, whatever is selected: two scenarios then meet the same luck
        luck, fault, fault_at = draws.share(), draws.share(), draws.share()
        kind = draws.pick([change.share for change in traffic.changes])
        every = [self._job(spec, draws, counted=counted) for spec in traffic.jobs]
        event.jobs = _selected(traffic.changes[kind].selects, every, draws)
        if not event.jobs:
            counts.idle += counted
            return
        failures = self.scenario.failures
        broken, product = failures.get(Failure.BROKEN, 0.0), failures.get(Failure.PRODUCT, 0.0)
        if luck < broken:
            event.fails = True
            for job in event.jobs:
                job.fault_at = 0.0
        elif luck < broken + product:
            event.fails = True
            total_s = sum(job.spec.work_s for job in event.jobs)
            at_s = fault * total_s
            for job in event.jobs:
                if at_s <= job.spec.work_s:
                    job.fault_at = fault_at
                    break
                at_s -= job.spec.work_s
            else:
                event.jobs[-1].fault_at = fault_at
        if counted:
            self.open[event] = None
        self.env.process(self._follow(event))

    def _job(self, spec: JobSpec, draws: Draws, *, counted: bool) -> _Job:
        pool = self.pools[spec.pool]
        policy = self.scenario.policy
        return _Job(
            spec,
            pool,
            set_up_s=draws.spread(pool.spec.set_up_s, pool.spec.spread),
            run_s=draws.duration(spec.work_s, policy.durations, policy.spread),
            counted=counted,
        )

    def _follow(self, event: _Event) -> _Steps:
        """Start the waves of an event one after the other, and what failed by chance again."""
        arrived_s = self.env.now
        policy = self.scenario.policy
        for wave in _waves(event):
            todo, jobs = wave, wave
            for again in range(policy.reruns + 1):
                if again:
                    yield self.env.timeout(policy.rerun_after_s)
                yield self._start(event, todo)
                if event.first_red_s >= 0:
                    self._done(event, arrived_s)
                    return
                todo = [job for job in jobs if job.failed]
                if not todo:
                    break
            if todo:
                event.counts.unlucky += event.counted
                self.open.pop(event, None)
                return
            event.critical.append(_critical(jobs))
        self._done(event, arrived_s)

    def _done(self, event: _Event, arrived_s: float) -> None:
        if not event.counted:
            return
        self.open.pop(event, None)
        if event.first_red_s >= 0:
            event.counts.red_s.append(event.first_red_s - arrived_s)
        else:
            event.counts.green_s.append(self.env.now - arrived_s)
            if event.traffic is self.scenario.traffic[0]:
                for suite, seconds in event.critical:
                    self.critical_s[suite] += seconds

    def _start(self, event: _Event, jobs: Sequence[_Job]) -> simpy.Event:
        """Ask for the GPUs of all these jobs; the event that is returned comes when none of them is left."""
        event.wave_over = self.env.event()
        event.left = len(jobs)
        for job in jobs:
            job.failed = False
            job.running = False
            job.ticket = Ticket(job.spec.gpus, self.env.now, partial(self._granted, event, job))
            self.jobs += 1
        for job in jobs:
            if job.ticket is not None:
                if self.from_s <= self.env.now < self.to_s:
                    counts = self.pool_counts[job.spec.pool]
                    counts.jobs += 1
                    spec = job.pool.spec
                    counts.offered_gpu_s += job.spec.gpus * (spec.pull_s + job.set_up_s + job.run_s)
                job.pool.ask(job.ticket, self.env.now)
        return event.wave_over

    def _granted(self, event: _Event, job: _Job) -> None:
        ticket = job.ticket
        if ticket is None:
            return
        now = self.env.now
        job.granted_s = now
        job.tests_from_s = math.inf
        job.running = True
        if self.from_s <= ticket.asked_s < self.to_s:
            self.pool_counts[job.spec.pool].waits_s.append(now - ticket.asked_s)
        spec = job.pool.spec
        if spec.pull_s:
            others = job.pool.pulls // spec.registries
            job.pool.pulls += 1
            pull_s = event.draws.spread(spec.pull_s + spec.pull_each_s * others, spec.spread)
            self._after(pull_s, partial(self._pulled, event, job, ticket))
        else:
            self._run_tests(event, job, ticket)

    def _after(self, seconds: float, then: partial[None]) -> None:
        timeout = self.env.timeout(seconds)
        if timeout.callbacks is not None:
            timeout.callbacks.append(then)

    def _pulled(self, event: _Event, job: _Job, ticket: Ticket, _timeout: simpy.Event) -> None:
        # a job that was ended while it pulled is no longer counted as pulling from here on
        job.pool.pulls -= 1
        if job.ticket is ticket:
            self._run_tests(event, job, ticket)

    def _run_tests(self, event: _Event, job: _Job, ticket: Ticket) -> None:
        run_s, failed = job.run_s, False
        if job.fault_at >= 0:
            run_s, failed = job.run_s * job.fault_at, True
        elif event.draws.share() < self.scenario.failures.get(Failure.CHANCE, 0.0):
            run_s, failed = job.run_s * event.draws.share(), True
        run_s = min(run_s, job.spec.timeout_s)
        job.tests_from_s = self.env.now + job.set_up_s
        self._after(job.set_up_s + run_s, partial(self._ended, event, job, ticket, failed))

    def _ended(self, event: _Event, job: _Job, ticket: Ticket, failed: bool, _timeout: simpy.Event) -> None:  # noqa: FBT001
        if job.ticket is not ticket:
            return
        own_fault = job.fault_at >= 0
        job.failed = failed
        self._free(job, ticket, lost=failed and not own_fault)
        event.left -= 1
        if failed:
            if own_fault and event.first_red_s < 0:
                event.first_red_s = self.env.now
            if self.scenario.policy.fail_fast:
                self._end_others(event)
        if not event.left and event.wave_over is not None:
            event.wave_over.succeed()
            event.wave_over = None

    def _end_others(self, event: _Event) -> None:
        for job in event.jobs:
            ticket = job.ticket
            if ticket is None:
                continue
            job.failed = True
            if job.running:
                self._free(job, ticket, lost=True)
            else:
                job.ticket = None
                job.pool.withdraw(ticket, self.env.now)
            event.left -= 1

    def _free(self, job: _Job, ticket: Ticket, *, lost: bool) -> None:
        now = self.env.now
        job.ticket = None
        job.ended_s = now
        if self.from_s <= now < self.to_s:
            counts = self.pool_counts[job.spec.pool]
            held_s = now - job.granted_s
            counts.set_up_gpu_s += job.spec.gpus * min(held_s, job.tests_from_s - job.granted_s)
            counts.lost_gpu_s += job.spec.gpus * held_s if lost else 0.0
        job.pool.release(ticket, now)


def _selected(selects: Selects, jobs: list[_Job], draws: Draws) -> list[_Job]:
    if selects is Selects.NOTHING or not jobs:
        return []
    if selects is Selects.REGISTERED:
        return [jobs[draws.pick([job.spec.work_s for job in jobs])]]
    return jobs if selects is Selects.EVERYTHING else [job for job in jobs if job.spec.usual]


def _critical(jobs: Sequence[_Job]) -> tuple[str, float]:
    """The suite whose job ended last, and for how long it was alone: by so much a shorter one would help."""
    last = max(jobs, key=lambda job: job.ended_s)
    others = (job.ended_s for job in jobs if job.spec.suite != last.spec.suite)
    return last.spec.suite, last.ended_s - max(others, default=last.granted_s)


def _waves(event: _Event) -> list[list[_Job]]:
    """The jobs of each stage, or all at once."""
    if not event.traffic.gates:
        return [event.jobs]
    numbers = sorted({job.spec.wave for job in event.jobs})
    return [[job for job in event.jobs if job.spec.wave == number] for number in numbers]
