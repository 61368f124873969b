"""The time that a suite has used."""

import time

__all__ = ["SuiteClock"]


class SuiteClock:
    """Runs while a test of the suite runs or waits for another attempt.

    Tests of several suites share the slots, so a suite's first test and its last may be far apart while it uses little.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._used_s = 0.0
        self._tests = 0
        self._since = 0.0

    def start(self) -> None:
        """A test begins."""
        if not self._tests:
            self._since = time.monotonic()
        self._tests += 1

    def end(self) -> None:
        """A test is over."""
        self._tests -= 1
        if not self._tests:
            self._used_s += time.monotonic() - self._since

    def left_s(self) -> float:
        """Seconds until its limit."""
        running_s = time.monotonic() - self._since if self._tests else 0.0
        return self._limit_s - self._used_s - running_s
