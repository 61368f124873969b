"""Sends the requests of a bench and reads the answers; too many that failed are the machine's fault, not a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from harness import events
from harness.bench import traffic
from harness.bench.traffic import Recording
from harness.errors import EngineError, InfraError, MeasurementError, RequestError
from harness.server import PROGRESS_EVERY_S, Server
from harness.spec import current

__all__ = ["Exchange", "exchange"]

_T = TypeVar("_T")
_REASONS_SHOWN = 3


class Exchange(Generic[_T]):
    """What came back: each request that succeeded with what was read of it, and how many failed."""

    def __init__(self, good: Sequence[tuple[Recording, _T]], failed: int) -> None:
        self.good = good
        self.failed = failed


def exchange(
    server: Server,
    requests: Sequence[bytes],
    *,
    what: str,
    due_s: Sequence[float],
    concurrency: int | None,
    read: Callable[[Recording], _T],
) -> Exchange[_T]:
    """Send every request when it is due, no more than `concurrency` at once, and `read` every answer afterwards.

    `read` raises `RequestError` for an answer that is none. Raises `EngineError` when the server is dead, `InfraError`
    with the count when more than `harness.failed_requests_max` of the requests failed.
    """
    spec = current()
    total = len(requests)
    if not total:
        raise MeasurementError(f"{what}: a bench of no requests measures nothing")
    allowed = spec.limits.failed_requests_max
    recordings = traffic.send_all(
        server.client.port,
        requests,
        due_s=due_s,
        concurrency=concurrency,
        timeout_s=server.client.timeout_s,
        failures_max=int(allowed * total),
        tick_s=PROGRESS_EVERY_S,
        on_tick=lambda ended: events.progress(what, ended, total),
    )
    good: list[tuple[Recording, _T]] = []
    reasons: list[str] = []
    broken: list[tuple[Recording, RequestError]] = []
    for recording in recordings:
        try:
            good.append((recording, read(recording)))
        except RequestError as error:  # noqa: PERF203  # each answer is good or bad by itself
            reasons.append(f"request {recording.number}: {error.what}")
            if error.status is None:
                broken.append((recording, error))
    if broken:
        recording, failure = broken[-1]
        _raise_if_dead(server, f"{what}: request {recording.number}", recording.error or failure)
    left = total - len(recordings)
    if len(reasons) > allowed * total or left:
        raise InfraError(
            f"{what}: {len(reasons)} of {total} requests failed, more than {allowed:.0%}"
            + (f" ({left} were given up or not sent)" if left else ""),
            cause="; ".join(reasons[:_REASONS_SHOWN]),
            then="see the server's log beside the test's",
        )
    for reason in reasons:
        events.note(f"{what}: {reason}")
    events.progress(what, len(recordings), total)
    return Exchange(good, len(reasons))


def _raise_if_dead(server: Server, what: str, error: Exception) -> None:
    diagnosis = server.client.diagnose(what, error)
    if isinstance(diagnosis, EngineError):
        raise diagnosis from error
