"""The order of the work: suites, tests, attempts, deadlines."""

import itertools
import math
import os
import platform
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path

from .attempt import POLL_S, Attempt, RunContext, child_argv, test_environ
from .gpus import Gpus
from .judge import Judgement
from .options import ADDOPTS, answer
from .processes import leftover_list
from .spec import Retry, Suite, Test


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
        refused = self._refused_options()
        if refused:
            self._emit(
                "executor-failed",
                what="pytest cannot be run with these arguments",
                cause="what follows the second --, or PYTEST_ADDOPTS, has an option that pytest does not know or with which it runs nothing",
                then=f"{sys.executable} -m pytest --help",
                problems=refused,
                verdict="usage",
            )
        for suite in self._spec.suites if not refused else ():
            if self._why_cancelled() is None:
                self._run_suite(suite)
            else:
                for test in suite.tests:
                    self._run_test(suite, test, Gpus(()), alone=True, deadline=math.inf)
        # What an attempt beside others could not claim, and whatever else has the token.
        token = f"AMD_CI_TOKEN={self._spec.token}"
        swept = self._context.children.kill(lambda: self._context.children.of_run(token))
        if self._broken is not None:
            raise self._broken
        reason = "cancelled" if self._stop.reason else "fail-fast" if self._failed_by else "done"
        self._emit("agent-ended", reason=reason, leftovers=leftover_list(swept))

    def _refused_options(self) -> list[str]:
        """What is wrong with the arguments for pytest: tried once for each folder, whose conftest.py may add options."""
        found: dict[str, None] = {}
        tried: set[tuple[str, Path, str]] = set()
        for suite in self._spec.suites:
            for test in suite.tests:
                environ = test_environ(self._context, suite, test)
                more = environ.get(ADDOPTS, "")
                key = (suite.id, Path(test.path).parent, more)
                if test.kind != "pytest" or key in tried or not (self._spec.pytest_args or more):
                    continue
                tried.add(key)
                argv = child_argv(self._context, "options", suite, test)
                found |= dict.fromkeys(answer(argv, self._spec.root, environ))
        return list(found)

    def _run_suite(self, suite: Suite) -> None:
        started = time.monotonic()
        ids = [test.id for test in suite.tests]
        self._emit("suite-started", suite=suite.id, tests=ids, timeout_s=suite.timeout_s)
        queue, gpus = deque(suite.tests), Gpus(self._spec.gpu_ids)
        jobs = min(self._spec.jobs, len(queue))
        if self._spec.gpu_ids and suite.gpus:
            jobs = min(jobs, len(self._spec.gpu_ids) // suite.gpus)

        def work() -> None:
            try:
                while True:
                    with self._lock:
                        if not queue:
                            return
                        test = queue.popleft()
                    self._run_test(suite, test, gpus, alone=jobs == 1, deadline=started + suite.timeout_s)
            except BaseException as error:  # noqa: BLE001 - raised again by `run`, after the sweep
                self._broken = error
                self._stop.request(f"internal error of the agent: {error!r}")

        workers = [threading.Thread(target=work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_S)  # and not join: signals are handled in this thread
        self._emit("suite-ended", suite=suite.id, duration_s=round(time.monotonic() - started, 3))

    def _run_test(self, suite: Suite, test: Test, gpus: Gpus, *, alone: bool, deadline: float) -> None:
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
        gpu_ids = gpus.take(suite.gpus)
        for number in itertools.count(1):
            attempt = Attempt(self._context, suite, test, number, gpu_ids)
            judgement = attempt.run(deadline, alone=alone)
            retry = _policy(suite, number, judgement)
            if retry is None or (retry.gpu == "other" and not gpus.has_others(gpu_ids)):
                break
            elsewhere = retry.gpu != "same" and gpus.has_others(gpu_ids)
            if not self._wait_to_retry(suite, test, number, retry, deadline, elsewhere=elsewhere):
                break
            if elsewhere:
                gpu_ids = gpus.exchange(
                    gpu_ids,
                    poll_s=POLL_S,
                    give_up=lambda: self._stop.reason is not None or time.monotonic() >= deadline,
                )
                if not gpu_ids:
                    text = "no further attempt: no other GPU was free before the end"
                    self._emit("note", text=text, suite=suite.id, test=test.id, attempt=number)
                    break
        gpus.give(gpu_ids)
        if self._spec.fail_fast and attempt.gates and self._failed_by is None:
            self._failed_by = f"{test.id} of suite {suite.id} failed ({judgement.verdict})"

    def _wait_to_retry(
        self, suite: Suite, test: Test, number: int, retry: Retry, deadline: float, *, elsewhere: bool
    ) -> bool:
        """Whether there is time for another attempt; if so, its time has come on return."""
        tags = {"suite": suite.id, "test": test.id, "attempt": number}
        resume = time.monotonic() + suite.retry_wait_s
        if resume >= deadline:
            self._emit("note", text="no time for another attempt before the suite's time limit", **tags)
            return False
        because = f"attempt {number} of {retry.attempts} ended with the verdict {retry.verdict}"
        if retry.gpu != "same":
            because += (
                "; next on another GPU" if elsewhere else "; next on the same GPU, the run has no other"
            )
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


def _policy(suite: Suite, number: int, judgement: Judgement) -> Retry | None:
    """The row after which there is another attempt."""
    if judgement.outcome != "failed":
        return None
    rows = (row for row in suite.retries if row.verdict == judgement.verdict)
    return next((row for row in rows if number < row.attempts), None)
