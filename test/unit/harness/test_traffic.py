"""Requests leave when they are due, no more at once than allowed, and the client's own time is counted."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness.bench.traffic import Recording, http_request, send_all
from support.harness_run import answer_with, send

pytestmark = pytest.mark.in_container

WORK_S = 0.05


class Desk:
    """Answers after `WORK_S` and notes when each request came, and how many were there at once."""

    def __init__(self) -> None:
        self.came_s: list[float] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def reply(self, handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
        with self._lock:
            self.came_s.append(time.monotonic())
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(WORK_S)
        with self._lock:
            self._now -= 1
        send(handler, b"{}")


def send_to(port: int, count: int, body: Any = None, **options: Any) -> list[Recording]:
    arguments: dict[str, Any] = {
        "due_s": [0.0] * count,
        "concurrency": None,
        "timeout_s": 5,
        "failures_max": 0,
        "tick_s": 5,
        "on_tick": lambda _ended: None,
    }
    return send_all(
        port, [http_request(port, "/x", body or {"n": n}) for n in range(count)], **arguments | options
    )


def test_all_at_once_are_under_way_together() -> None:
    desk = Desk()
    with answer_with(desk.reply) as port:
        recordings = send_to(port, 4)
    assert [recording.number for recording in recordings] == [0, 1, 2, 3]
    assert desk.most == 4
    assert all(recording.data.endswith(b"\r\n\r\n{}") for recording in recordings)
    assert all(recording.due_s == 0 for recording in recordings)
    assert all(recording.ended_s >= WORK_S for recording in recordings)


def test_closed_loop_never_has_more_under_way_and_starts_the_next_at_once() -> None:
    desk = Desk()
    with answer_with(desk.reply) as port:
        recordings = send_to(port, 7, concurrency=2)
    assert desk.most == 2
    ends = sorted(recording.ended_s for recording in recordings)
    assert [recording.due_s for recording in recordings] == pytest.approx([0.0, 0.0, *ends[:5]])
    assert all(recording.ended_s - recording.due_s < 6 * WORK_S for recording in recordings), (
        "nobody waits in vain"
    )


def test_open_loop_sends_when_a_request_is_due_whatever_is_under_way() -> None:
    desk = Desk()
    due_s = [0.0, 0.02, 0.2]
    with answer_with(desk.reply) as port:
        recordings = send_to(port, 3, due_s=due_s)
    assert [recording.due_s for recording in recordings] == due_s
    assert desk.most == 2
    assert recordings[1].ended_s < due_s[2] <= recordings[2].arrivals[0][1] - WORK_S


def test_open_loop_with_a_limit_waits_for_a_place() -> None:
    desk = Desk()
    with answer_with(desk.reply) as port:
        first, second = send_to(port, 2, due_s=[0.0, 0.01], concurrency=1)
    assert desk.most == 1
    assert second.due_s == pytest.approx(first.ended_s)


def test_body_that_fits_no_buffer_arrives_whole() -> None:
    sizes = []

    def reply(handler: BaseHTTPRequestHandler, _path: str, body: Any) -> None:
        sizes.append(len(body["text"]))
        send(handler, b'"' + b"y" * 3_000_000 + b'"')

    with answer_with(reply) as port:
        (recording,) = send_to(port, 1, {"text": "x" * 8_000_000})
    assert sizes == [8_000_000]
    assert recording.data.endswith(b'yyy"')
    assert len(recording.arrivals) > 1
    assert recording.arrivals == tuple(sorted(recording.arrivals))
    assert recording.at_s(len(recording.data)) == recording.arrivals[-1][1]


def test_time_in_which_the_client_is_busy_with_something_else_is_its_own() -> None:
    """Bytes that wait because the client does not look are not the server's latency."""

    def trickle(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            time.sleep(0.01)
            handler.wfile.write(b"x")
            handler.wfile.flush()

    with answer_with(trickle) as port:
        (quick,) = send_to(port, 1)
        (slow,) = send_to(port, 1, tick_s=0.05, on_tick=lambda _ended: time.sleep(0.1))
    assert 0.15 < slow.client_s < slow.ended_s
    assert quick.client_s < slow.client_s / 2


def test_progress_is_reported_while_requests_are_under_way() -> None:
    shown: list[int] = []
    with answer_with(Desk().reply) as port:
        send_to(port, 3, concurrency=1, tick_s=0.01, on_tick=shown.append)
    assert {0, 1, 2} <= set(shown)
    assert shown == sorted(shown)


def hang(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
    time.sleep(0.5)


def hang_up(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
    handler.close_connection = True


def refuse(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
    send(handler, b"{}", status=500)


def test_silence_ends_with_the_time_limit() -> None:
    with answer_with(hang) as port:
        (recording,) = send_to(port, 1, timeout_s=0.1, tick_s=0.02)
    assert isinstance(recording.error, TimeoutError)
    assert 0.1 <= recording.ended_s < 0.4


def test_nothing_listens() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        (recording,) = send_to(unheard.getsockname()[1], 1)
    assert isinstance(recording.error, ConnectionError)


@pytest.mark.parametrize("reply", [hang_up, refuse])
def test_the_rest_is_not_sent_when_too_many_have_failed(
    reply: Callable[[BaseHTTPRequestHandler, str, Any], None],
) -> None:
    with answer_with(reply) as port:
        assert len(send_to(port, 10, concurrency=1, failures_max=3)) == 4
        assert len(send_to(port, 10, concurrency=1, failures_max=10)) == 10
