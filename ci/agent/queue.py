"""The work of a run: tests pulled onto slots, their attempts and retries, the suites' time limits."""

import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial

from .attempt import POLL_S, Attempt, Place, RunContext, test_environ
from .entries import Entry, entries_of
from .gpu_memory import Kfd
from .judge import Judgement
from .own_places import OwnPlaces, cpu_share, keep_to
from .processes import carries, leftover_list
from .refusal import refusal
from .roles.group import is_on_several
from .roles.nodes import is_home, say_settled, serve
from .shared_queue import SharedQueue
from .slot_memory import Leak, SlotMemory
from .slots import Held, next_start, slots_for
from .spec import Retry, Suite
from .suite_clock import SuiteClock

__all__ = ["Queue"]


@dataclass(slots=True, eq=False, kw_only=True)
class _Running:
    """An attempt on its slots; `judgement` is there when it has ended, `leak` what it has left in their memory."""

    entry: Entry
    slot: int
    ids: tuple[str, ...]
    deadline: float
    thread: threading.Thread = field(init=False)
    mark: str = ""
    over: bool = False
    gates: bool = False
    judgement: Judgement | None = None
    leak: Leak | None = None

    @property
    def held(self) -> Held:
        waiting = self.entry.waiting
        return Held(place=waiting.place, ids=self.ids, alone=waiting.alone)


class Queue:
    """Works through the suites of a spec: one test after the other, or several at a time where the spec says so."""

    def __init__(self, context: RunContext, kfd: Kfd | None = None) -> None:
        self._context = context
        self._spec = context.spec
        self._stop = context.stop
        self._emit = context.emitter.emit
        self._changed = threading.Condition()
        self._failed_by: str | None = None
        self._broken: BaseException | None = None
        spec = self._spec
        self._all_slots = slots_for(spec.gpu_ids, spec.jobs, spec.gpu_groups)
        self._slots = self._all_slots  # without those that were taken out
        self._own = OwnPlaces(self._spec)
        self._cpus = sorted(os.sched_getaffinity(0))
        self._running: list[_Running] = []
        self._waiting: list[Entry] = []
        self._shared = SharedQueue(self._spec.claims, self._emit) if self._spec.claims.folder else None
        self._lost_elsewhere: set[int] = set()
        self._clocks = {suite.id: SuiteClock(suite.timeout_s) for suite in self._spec.suites}
        self._unsettled = {suite.id: len(suite.tests) for suite in self._spec.suites}
        self._begun: dict[str, float] = {}
        self._memory = SlotMemory(
            kfd=kfd or Kfd(renumbered="ROCR_VISIBLE_DEVICES" in os.environ),
            gpu_ids=self._spec.gpu_ids,
            settle_s=self._spec.limits.vram_settle_s,
            is_left=self._is_left,
            end=self._end,
        )

    def run(self) -> None:
        """Run every suite, sweep, and report the end; raises what broke in the agent itself."""
        self._emit(
            "agent-started",
            pid=os.getpid(),
            python=platform.python_version(),
            executable=sys.executable,
            platform=platform.platform(),
            host=socket.gethostname(),
        )
        refused = refusal(self._context)
        try:
            if refused is not None:
                self._emit("executor-failed", **refused)
            else:
                self._work()
        finally:
            # whatever ended it: the other nodes wait for our tests
            if any(is_home(self._spec, suite) for suite in self._spec.suites):
                say_settled(self._spec)
        # What an attempt beside others could not claim, and whatever else has the token.
        token = f"AMD_CI_TOKEN={self._spec.token}"
        swept = self._context.children.kill(lambda: self._context.children.of_run(token))
        self._own.remove()
        if self._broken is not None:
            raise self._broken
        reason = "cancelled" if self._stop.reason else "fail-fast" if self._failed_by else "done"
        self._emit("agent-ended", reason=reason, leftovers=leftover_list(swept))

    def _work(self) -> None:
        """Start what may start and take what has ended, until nothing waits, nothing runs and nothing can be claimed."""
        spec, context = self._spec, self._context
        serve(
            spec,
            program=context.program,
            spec_path=context.spec_path,
            children=context.children,
            stop=self._stop,
            environ=partial(test_environ, context),
        )
        self._waiting = entries_of(spec, self._slots)
        if self._spec.jobs > 1 and self._spec.gpu_ids and self._memory.unknown:
            self._emit(
                "note", text="the VRAM of the GPUs cannot be seen here: they are used again without a look"
            )
        with self._changed:
            while self._waiting or self._running or (self._shared is not None and self._shared.may_give):
                for ended in [each for each in self._running if each.over]:
                    self._take(ended)
                self._look()
                self._drop()
                if not self._start():
                    # a signal's handler runs in this thread, between two waits at the latest
                    self._changed.wait(POLL_S)

    def _look(self, *, at_once: bool = False) -> None:
        """Leave what other agents have claimed to them, and take in again what one of them has lost."""
        shared = self._shared
        if shared is None:
            return
        if self._why_cancelled() is not None:
            shared.close()
        seen = shared.look(at_once=at_once)
        if seen is not None:
            again = seen.again - self._lost_elsewhere
            self._lost_elsewhere |= again
            self._waiting += [
                replace(entry, claim=2)
                for entry in entries_of(self._spec, self._all_slots)
                if entry.number in again
            ]
            gone = {(number, 1) for number in self._lost_elsewhere} | seen.claimed
            self._leave(lambda entry: (entry.number, entry.claim) in gone)
        if shared.is_over:
            self._leave(lambda _: True)
        if shared.failed_elsewhere and self._failed_by is None:
            self._failed_by = "a test of another worker failed"

    def _leave(self, which: Callable[[Entry], bool]) -> None:
        """Take these out of the queue where they are not ours: another agent says what becomes of them."""
        self._waiting = [entry for entry in self._waiting if entry.is_ours or not which(entry)]

    def _left_to_others(self, entry: Entry) -> bool:
        """Whether what becomes of a test is not ours to say; one that our suite has no time for is claimed to say so."""
        shared = self._shared
        if entry.is_ours or shared is None:
            return False
        if entry not in self._waiting:
            return True
        if entry.waiting.needs > len(self._slots.ids):
            self._waiting.remove(entry)
            shared.lacks_slots = True
            return True
        return self._clocks[entry.suite.id].left_s() > 0 or not self._claimed(entry)

    def _claimed(self, entry: Entry) -> bool:
        """Whether this test is ours to start; one that is not is out of the queue then."""
        if not entry.is_ours and self._shared is not None:
            self._look(at_once=True)
            if entry in self._waiting and self._shared.take(entry.number, entry.claim):
                entry.is_ours = True
            self._leave(lambda each: each is entry)
        return entry.is_ours

    def _drop(self) -> None:
        """Settle what will not be started: all after a stop, what its suite has no time for, what has too few GPUs left."""
        cancelled = self._why_cancelled()
        for entry in list(self._waiting):
            if entry.attempt > 1:
                self._drop_retry(entry)
                continue
            clock = self._clocks[entry.suite.id]
            if self._left_to_others(entry):
                continue
            if cancelled is not None:
                self._not_run(entry, "cancelled", cancelled)
            elif clock.left_s() <= 0:
                limit = f"the suite's time limit of {entry.suite.timeout_s:g} s"
                self._not_run(entry, "timeout", f"{limit} had expired before this test began")
            elif entry.waiting.needs > len(self._slots.ids):
                self._not_run(entry, "hardware", f"needs {entry.waiting.needs} GPUs; {self._lost_words()}")

    def _drop_retry(self, entry: Entry) -> None:
        """Give up another attempt after a stop, at the end of its suite's time, or for lack of GPUs."""
        waiting, retry = entry.waiting, entry.retry
        allowed = set(self._slots.ids) - waiting.avoid
        if self._stop.reason is not None:
            text = f"no further attempt: {self._stop.reason}"
        elif self._clocks[entry.suite.id].left_s() <= 0:
            text = "no further attempt: no GPU that it may have was free before the end"
        elif waiting.needs <= len(allowed):
            return
        elif (
            waiting.avoid
            and retry is not None
            and retry.gpu != "other"
            and waiting.needs <= len(self._slots.ids)
        ):
            entry.waiting = replace(waiting, avoid=frozenset())
            return
        else:
            text = f"no further attempt: {self._lost_words()}"
        tags = {"suite": entry.suite.id, "test": entry.test.id, "attempt": entry.attempt - 1}
        self._emit("note", text=text, settles=True, **tags)
        self._waiting.remove(entry)
        self._settle(entry, counted=True)

    def _lost_words(self) -> str:
        lost = ", ".join(each for each in self._all_slots.ids if each not in self._slots.ids)
        return f"GPU {lost} taken out, {len(self._slots.ids)} left"

    def _not_run(self, entry: Entry, verdict: str, because: str) -> None:
        self._waiting.remove(entry)
        self._emit("test-not-run", suite=entry.suite.id, test=entry.test.id, verdict=verdict, because=because)
        self._settle(entry, counted=False)

    def _settle(self, entry: Entry, *, counted: bool) -> None:
        """Nothing more comes of this test; `counted`: its suite's time ran for it."""
        suite = entry.suite.id
        if self._spec.fail_fast and entry.failed and self._failed_by is None:
            self._failed_by = entry.failed
            if self._shared is not None:
                self._shared.end_the_run()
        if counted:
            self._clocks[suite].end()
        self._unsettled[suite] -= 1
        self._say_if_no_roles_are_left()
        if not self._unsettled[suite] and suite in self._begun:
            took_s = round(time.monotonic() - self._begun[suite], 3)
            self._emit("suite-ended", suite=suite, duration_s=took_s)

    def _say_if_no_roles_are_left(self) -> None:
        """The other nodes have run the roles of our tests until now."""
        suites = [suite for suite in self._spec.suites if is_on_several(self._spec, suite)]
        if suites and not any(self._unsettled[suite.id] for suite in suites):
            say_settled(self._spec)

    def _start(self) -> bool:
        """Start the next test, if one may."""
        now = time.monotonic()
        for entry in self._waiting:
            entry.waiting = replace(entry.waiting, ready=entry.ready_s <= now)
        running = [each.held for each in self._running]
        start = next_start([entry.waiting for entry in self._waiting], running, self._slots)
        if start is None:
            return False
        entry = next(each for each in self._waiting if each.waiting.place == start.place)
        if not self._claimed(entry):
            return True
        self._waiting.remove(entry)
        suite, clock = entry.suite, self._clocks[entry.suite.id]
        if suite.id not in self._begun:
            self._begun[suite.id] = now
            tests = [test.id for test in suite.tests]
            self._emit("suite-started", suite=suite.id, tests=tests, timeout_s=suite.timeout_s)
        if entry.attempt == 1:
            clock.start()
        taken = {each.slot for each in self._running}
        slot = next(number for number in range(1, self._spec.jobs + 1) if number not in taken)
        running_now = _Running(entry=entry, slot=slot, ids=start.ids, deadline=now + clock.left_s())
        # its own thread, which lives as long as the test: PR_SET_PDEATHSIG fires when the forking thread ends
        running_now.thread = threading.Thread(target=self._run, args=(running_now,))
        self._running.append(running_now)
        running_now.thread.start()
        return True

    def _run(self, running: _Running) -> None:
        """One attempt, in a thread of its own."""
        entry, gpus = running.entry, running.ids if self._spec.gpu_ids else ()
        alone = self._spec.jobs == 1 or entry.waiting.alone
        try:
            if not alone:
                keep_to(cpu_share(self._cpus, self._all_slots, running.slot, running.ids))
            environ = self._own.environ(running.slot, running.ids)
            number = running.slot if self._spec.jobs > 1 else 0
            place = Place(slot=number, gpu_ids=gpus, environ=environ)
            attempt = Attempt(self._context, entry.suite, entry.test, entry.attempt, place)
            running.mark = attempt.mark
            running.judgement = attempt.run(running.deadline, alone=alone)
            running.gates = attempt.gates
            running.mark = ""
            self._own.clear(running.slot)
            if gpus:
                running.leak = self._memory.leak(gpus, give_up=lambda: self._stop.reason is not None)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, after the sweep
            self._broken = error
            self._stop.request(f"internal error of the agent: {error!r}")
        finally:
            with self._changed:
                running.over = True
                self._changed.notify()

    def _take(self, ended: _Running) -> None:
        """What an attempt that has ended leaves: its slots, perhaps one fewer, and another attempt or none."""
        ended.thread.join()
        self._running.remove(ended)
        entry, judgement = ended.entry, ended.judgement
        if judgement is None:
            self._settle(entry, counted=True)
            return
        if ended.leak is not None:
            self._lose(entry, ended.leak)
        failed = f"{entry.test.id} of suite {entry.suite.id} failed ({judgement.verdict})"
        entry.failed = failed if ended.gates else ""
        if not self._again(entry, ended.ids, judgement):
            self._settle(entry, counted=True)

    def _lose(self, entry: Entry, leak: Leak) -> None:
        """Take GPUs out of the run."""
        self._slots = self._slots.without(leak.gpu_ids)
        tags = {"suite": entry.suite.id, "test": entry.test.id, "attempt": entry.attempt}
        self._emit("slot-lost", gpu_ids=list(leak.gpu_ids), because=leak.because, **tags)

    def _again(self, entry: Entry, ids: tuple[str, ...], judgement: Judgement) -> bool:
        """Whether the test gets another attempt, which is then in front of the queue."""
        number, suite = entry.attempt, entry.suite
        retry = _policy(suite, number, judgement)
        gpus = ids if self._spec.gpu_ids else ()
        has_others = bool(gpus) and len(set(self._slots.ids) - set(gpus)) >= len(gpus)
        if retry is None or (retry.gpu == "other" and not has_others):
            return False
        tags = {"suite": suite.id, "test": entry.test.id, "attempt": number}
        if suite.retry_wait_s >= self._clocks[suite.id].left_s():
            self._emit("note", text="no time for another attempt before the suite's time limit", **tags)
            return False
        elsewhere = retry.gpu != "same" and has_others
        because = f"attempt {number} of {retry.attempts} ended with the verdict {retry.verdict}"
        if retry.gpu != "same":
            because += (
                "; next on another GPU" if elsewhere else "; next on the same GPU, the run has no other"
            )
        self._emit("retry", wait_s=suite.retry_wait_s, because=because, **tags)
        entry.attempt, entry.retry = number + 1, retry
        entry.ready_s = time.monotonic() + suite.retry_wait_s
        first = min([0, *(each.waiting.place for each in self._waiting)]) - 1
        avoid = frozenset(ids) if elsewhere else frozenset()
        if gpus and retry.gpu == "same":
            avoid = frozenset(self._slots.ids) - set(ids)
        entry.waiting = replace(entry.waiting, place=first, avoid=avoid)
        self._waiting.append(entry)
        return True

    def _why_cancelled(self) -> str | None:
        if self._stop.reason is not None:
            return f"stopped: {self._stop.reason}"
        return f"fail-fast: {self._failed_by}" if self._failed_by is not None else None

    def _is_left(self, pid: int) -> bool:
        """Whether a process is of this run and of no attempt that runs."""
        marks = [
            mark for each in tuple(self._running) if (mark := each.mark)
        ]  # another thread removes from it
        own = carries(pid, f"AMD_CI_TOKEN={self._spec.token}")
        return own and pid != os.getpid() and not any(carries(pid, mark) for mark in marks)

    def _end(self, pids: Collection[int]) -> None:
        self._context.children.kill(lambda: {pid for pid in pids if self._is_left(pid)})


def _policy(suite: Suite, number: int, judgement: Judgement) -> Retry | None:
    """The row after which there is another attempt."""
    if judgement.outcome != "failed":
        return None
    rows = (row for row in suite.retries if row.verdict == judgement.verdict)
    return next((row for row in rows if number < row.attempts), None)
