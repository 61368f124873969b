"""The order of the work: suites, tests, attempts, deadlines."""

import math
import os
import platform
import socket
import sys
import threading
import time
from collections import deque

from .attempt import POLL_S, Attempt, RunContext, leftover_list
from .judge import Judgement
from .spec import Suite, Test


class Queue:
    """Works through the suites of a spec."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._spec = context.spec
        self._stop = context.stop
        self._emit = context.emitter.emit
        self._lock = threading.Lock()
        self._failed_by: str | None = None
        self._broken: BaseException | None = None

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
        for suite in self._spec.suites:
            if self._why_cancelled() is None:
                self._run_suite(suite)
            else:
                for test in suite.tests:
                    self._run_test(suite, test, [], alone=True, deadline=math.inf)
        # What an attempt beside others could not claim, and whatever else has the token.
        token = f"AMD_CI_TOKEN={self._spec.token}"
        swept = self._context.children.kill(lambda: self._context.children.of_run(token))
        if self._broken is not None:
            raise self._broken
        reason = "cancelled" if self._stop.reason else "fail-fast" if self._failed_by else "done"
        self._emit("agent-ended", reason=reason, leftovers=leftover_list(swept))

    def _run_suite(self, suite: Suite) -> None:
        started = time.monotonic()
        ids = [test.id for test in suite.tests]
        self._emit("suite-started", suite=suite.id, tests=ids, timeout_s=suite.timeout_s)
        queue, free_gpus = deque(suite.tests), list(self._spec.gpu_ids)
        jobs = min(self._spec.jobs, len(queue))
        if free_gpus and suite.gpus:
            jobs = min(jobs, len(free_gpus) // suite.gpus)

        def work() -> None:
            try:
                while True:
                    with self._lock:
                        if not queue:
                            return
                        test = queue.popleft()
                        gpu_ids = [free_gpus.pop(0) for _ in range(suite.gpus)] if free_gpus else []
                    self._run_test(suite, test, gpu_ids, alone=jobs == 1, deadline=started + suite.timeout_s)
                    with self._lock:
                        free_gpus[:] = sorted([*free_gpus, *gpu_ids], key=self._spec.gpu_ids.index)
            except BaseException as error:  # noqa: BLE001 - raised again by `run`, after the sweep
                self._broken = error
                self._stop.request(f"internal error of the agent: {error!r}")

        workers = [threading.Thread(target=work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_S)  # and not join: signals are handled in this thread
        self._emit("suite-ended", suite=suite.id, duration_s=round(time.monotonic() - started, 3))

    def _run_test(
        self, suite: Suite, test: Test, gpu_ids: list[str], *, alone: bool, deadline: float
    ) -> None:
        """One test with all its attempts, or the reason why it is not run."""
        cancelled = self._why_cancelled()
        if cancelled is not None or time.monotonic() >= deadline:
            because = (
                cancelled
                or f"the suite's time limit of {suite.timeout_s:g} s had expired before this test began"
            )
            verdict = "cancelled" if cancelled else "timeout"
            self._emit("test-not-run", suite=suite.id, test=test.id, verdict=verdict, because=because)
            return
        for number in range(1, suite.attempts + 1):
            attempt = Attempt(self._context, suite, test, number, gpu_ids)
            judgement = attempt.run(deadline, alone=alone)
            if not self._may_retry(suite, test, number, judgement, deadline):
                break
        if self._spec.fail_fast and attempt.gates and self._failed_by is None:
            self._failed_by = f"{test.id} of suite {suite.id} failed ({judgement.verdict})"

    def _may_retry(
        self, suite: Suite, test: Test, number: int, judgement: Judgement, deadline: float
    ) -> bool:
        """Whether there is another attempt; if so, its time has come on return."""
        if (
            judgement.outcome != "failed"
            or number >= suite.attempts
            or judgement.verdict not in suite.retry_on
        ):
            return False
        tags = {"suite": suite.id, "test": test.id, "attempt": number}
        resume = time.monotonic() + suite.retry_wait_s
        if resume >= deadline:
            self._emit("note", text="no time for another attempt before the suite's time limit", **tags)
            return False
        because = f"attempt {number} of {suite.attempts} ended with the verdict {judgement.verdict}"
        self._emit("retry", wait_s=suite.retry_wait_s, because=because, **tags)
        while self._stop.reason is None and (left := resume - time.monotonic()) > 0:
            time.sleep(min(POLL_S, left))
        if self._stop.reason is not None:
            self._emit("note", text=f"no further attempt: {self._stop.reason}", **tags)
        return self._stop.reason is None

    def _why_cancelled(self) -> str | None:
        if self._stop.reason is not None:
            return f"stopped: {self._stop.reason}"
        return f"fail-fast: {self._failed_by}" if self._failed_by is not None else None
