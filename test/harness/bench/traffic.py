"""Sends requests at given times and keeps every byte that comes back with the time at which it came.

One thread, non-blocking sockets, nothing parsed while the clock runs: what the client itself costs is the time between
bytes being there and being recorded, and it is counted for each request.
"""

from __future__ import annotations

import bisect
import json
import os
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InfraError

__all__ = ["Recording", "http_request", "send_all"]

_RECEIVE_BYTES = 1 << 18
_SUCCESS = re.compile(rb"HTTP/1\.\d 2")
_SELECT_S = 0.001  # epoll waits in whole milliseconds: the last one before a request is due is spent polling


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One request from the moment it was due until its connection was closed; times are seconds since the start.

    `arrivals` are (number of bytes received, when); `client_s` is the time of this request that the client took:
    starting late, connecting, sending, and receiving what was already there. `error` is what broke the connection.
    """

    number: int
    due_s: float
    ended_s: float
    client_s: float
    data: bytes
    arrivals: tuple[tuple[int, float], ...]
    error: Exception | None

    def at_s(self, offset: int) -> float:
        """When the first `offset` bytes had been received."""
        return self.arrivals[bisect.bisect_left(self.arrivals, (offset, 0.0))][1]

    def failed(self) -> bool:
        """Whether it has failed on its face; a reply that is cut or wrong inside is found when it is read."""
        return self.error is not None or not _SUCCESS.match(self.data)


def http_request(port: int, path: str, body: Mapping[str, Any]) -> bytes:
    """`POST path` with a JSON body, on a connection of its own."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


@dataclass(slots=True, kw_only=True, eq=False)
class _Flight:
    """A request under way."""

    number: int
    due_s: float
    socket: socket.socket
    unsent: memoryview
    touched_s: float
    client_s: float
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    arrivals: list[tuple[int, float]] = field(default_factory=list)
    error: Exception | None = None

    def recording(self, ended_s: float) -> Recording:
        return Recording(
            number=self.number,
            due_s=self.due_s,
            ended_s=ended_s,
            client_s=self.client_s,
            data=b"".join(self.parts),
            arrivals=tuple(self.arrivals),
            error=self.error,
        )


class _Loop:
    """One run: `send_all` has the meaning of the arguments."""

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        due_s: Sequence[float],
        concurrency: int | None,
        timeout_s: float,
        failures_max: int,
        tick_s: float,
        on_tick: Callable[[int], None],
    ) -> None:
        self.port = port
        self.requests = requests
        self.due_s = due_s
        self.timeout_s = timeout_s
        self.failures_max = failures_max
        self.tick_s = tick_s
        self.on_tick = on_tick
        self.selector = selectors.DefaultSelector()
        self.flights: set[_Flight] = set()
        self.ended: list[Recording] = []
        self.failures = 0
        # since when each place for a request under way has been free
        self.free_since = deque([0.0] * (concurrency or len(requests)))
        self.began = time.monotonic()

    def now_s(self) -> float:
        return time.monotonic() - self.began

    def run(self) -> list[Recording]:
        try:
            self._run()
        finally:
            for flight in self.flights:
                flight.socket.close()
            self.selector.close()
        return sorted(self.ended, key=lambda recording: recording.number)

    def _run(self) -> None:
        sent = 0
        looked_s = 0.0
        tick_s = self.tick_s
        while (sent < len(self.requests) or self.flights) and self.failures <= self.failures_max:
            while sent < len(self.requests) and self.free_since and self.due_s[sent] <= self.now_s():
                self._start(sent, max(self.due_s[sent], self.free_since.popleft()))
                sent += 1
            # what is there at once may have been waiting since the last look; else it comes while we wait
            ready = self.selector.select(0)
            since_s, looked_s = looked_s, self.now_s()
            if not ready:
                wait_s = tick_s - looked_s
                if sent < len(self.requests) and self.free_since:
                    wait_s = min(wait_s, self.due_s[sent] - looked_s - _SELECT_S)
                ready = self.selector.select(max(0.0, wait_s))
                since_s = looked_s = self.now_s()
            for key, _ in ready:
                self._step(key.data, since_s)
            if looked_s >= tick_s:
                self._end_overdue()
                self.on_tick(len(self.ended))
                tick_s = self.now_s() + self.tick_s

    def _start(self, number: int, due_s: float) -> None:
        try:
            connection = socket.socket()
        except OSError as error:
            raise InfraError(
                f"no connection can be opened beside {len(self.flights)} others: {error}",
                cause="the limit of open files is too low for so many requests at once",
                then="ulimit -n 65536, then run again",
            ) from error
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flight = _Flight(
            number=number,
            due_s=due_s,
            socket=connection,
            unsent=memoryview(self.requests[number]),
            touched_s=0.0,
            client_s=0.0,
        )
        connection.connect_ex(("127.0.0.1", self.port))  # a refusal is read when the socket becomes writable
        self.selector.register(connection, selectors.EVENT_WRITE, flight)
        self.flights.add(flight)
        flight.touched_s = self.now_s()
        flight.client_s = flight.touched_s - due_s

    def _step(self, flight: _Flight, since_s: float) -> None:
        """Send what can be sent or record what has come; `since_s` is when it may have been there."""
        over = False
        try:
            if flight.unsent:
                self._send(flight)
            else:
                data = flight.socket.recv(_RECEIVE_BYTES)
                over = not data
                if data:
                    flight.size += len(data)
                    flight.parts.append(data)
                    flight.arrivals.append((flight.size, self.now_s()))
        except BlockingIOError:
            pass  # readiness was a false alarm
        except OSError as error:
            flight.error = error
            over = True
        now_s = self.now_s()
        flight.client_s += now_s - max(since_s, flight.touched_s)
        flight.touched_s = now_s
        if over:
            self._end(flight)

    def _send(self, flight: _Flight) -> None:
        code = flight.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        flight.unsent = flight.unsent[flight.socket.send(flight.unsent) :]
        if not flight.unsent:
            self.selector.modify(flight.socket, selectors.EVENT_READ, flight)

    def _end(self, flight: _Flight) -> None:
        self.selector.unregister(flight.socket)
        flight.socket.close()
        self.flights.remove(flight)
        ended_s = self.now_s()
        self.free_since.append(ended_s)
        recording = flight.recording(ended_s)
        self.failures += recording.failed()
        self.ended.append(recording)

    def _end_overdue(self) -> None:
        for flight in [flight for flight in self.flights if self.now_s() - flight.due_s > self.timeout_s]:
            flight.error = TimeoutError(f"no whole answer within {self.timeout_s:g} s")
            self._end(flight)


def send_all(
    port: int,
    requests: Sequence[bytes],
    *,
    due_s: Sequence[float],
    concurrency: int | None,
    timeout_s: float,
    failures_max: int,
    tick_s: float,
    on_tick: Callable[[int], None],
) -> list[Recording]:
    """Send every request when it is due, in seconds from now, but no more than `concurrency` at once.

    A request that had to wait for a place is due when the place becomes free. What is recorded comes back in the order of
    `requests`; there are fewer as soon as more than `failures_max` have failed, because then the rest is not waited for.
    `on_tick` is told how many have ended, every `tick_s`.
    """
    loop = _Loop(
        port,
        requests,
        due_s=due_s,
        concurrency=concurrency,
        timeout_s=timeout_s,
        failures_max=failures_max,
        tick_s=tick_s,
        on_tick=on_tick,
    )
    return loop.run()
