"""A registry that breaks on purpose: a proxy before a real one that answers some requests as a rule says.

What no rule is about goes to the real registry and back unchanged. `FaultyRegistry.asked` and `.dropped` say what the engine
did: which requests came, and which ones it gave up while it was kept waiting.
"""

import contextlib
import http.client
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

__all__ = ["BLOB", "MANIFEST", "FaultyRegistry", "Rule", "garbage", "refusing"]

MANIFEST = r"(GET|HEAD) /v2/.*/manifests/.*"
BLOB = r"GET /v2/.*/blobs/.*"

_TLS_HELLO = b"\x16"
_HANG_POLL_S = 0.05
_DRIP_BYTES, _DRIP_PAUSE_S = 200, 0.02


@dataclass
class Rule:
    """What is done to requests that fit: `METHOD /path`; `times` of them, None for all.

    `status` answers with headers and body of its own. `hang` never answers, or with `after_bytes` stops there. `drip` goes on
    after them with a few bytes at a time. `cut` closes the connection there. `corrupt` turns one byte over.
    """

    request: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False
    drip: bool = False
    cut: bool = False
    corrupt: bool = False
    after_bytes: int = 0
    times: int | None = None
    pause_s: float = 0


class FaultyRegistry(ThreadingHTTPServer):
    """The proxy. Use as a context manager."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.rules: list[Rule] = []
        self.asked: list[str] = []
        self.authorizations: list[str] = []
        self.dropped: list[str] = []
        self.waiting = 0
        self.closing = False
        self.guard = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        self.shutdown()
        self.server_close()

    def breaks(self, request: str, **what: Any) -> None:
        """Add a rule; the first that fits decides."""
        self.rules.append(Rule(request, **what))

    def rule_for(self, request: str) -> Rule | None:
        """The rule for a request, counted down."""
        with self.guard:
            self.asked.append(request)
            for rule in self.rules:
                if re.fullmatch(rule.request, request) and rule.times != 0:
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule
        return None

    def count(self, pattern: str) -> int:
        """How many requests fit."""
        return sum(re.fullmatch(pattern, request) is not None for request in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def proxy(self) -> FaultyRegistry:
        return cast("FaultyRegistry", self.server)

    def handle(self) -> None:
        # the engine tries TLS first; what it says holds no line end, for which a text protocol would wait
        with contextlib.suppress(OSError):
            if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HELLO:
                self.connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            super().handle()

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_GET  # noqa: N815  # the base class's names

    def _answer(self) -> None:
        self.proxy.authorizations.append(self.headers.get("Authorization", ""))
        rule = self.proxy.rule_for(f"{self.command} {self.path}")
        if rule is None:
            rule = Rule("")
        if rule.pause_s:
            time.sleep(rule.pause_s)
        if rule.hang and not rule.after_bytes:
            self._hang()
            return
        status, headers, body = (
            (rule.status, dict(rule.headers), rule.body) if rule.status else self._upstream()
        )
        if rule.corrupt:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        if "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        broken = rule.cut or rule.hang or rule.drip
        self.wfile.write(body[: rule.after_bytes] if broken else body)
        self.wfile.flush()
        if rule.hang:
            self._hang()
        elif rule.drip:
            self._drip(body[rule.after_bytes :])
        self.close_connection = self.close_connection or broken

    def _upstream(self) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=10)
        try:
            passed = {key: value for key, value in self.headers.items() if key.lower() != "host"}
            connection.request(self.command, self.path, headers={**passed, "Host": self.proxy.address})
            answer = connection.getresponse()
            kept = {
                key: value
                for key, value in answer.getheaders()
                if key.lower() not in ("transfer-encoding", "connection", "date")
            }
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _drip(self, rest: bytes) -> None:
        """A few bytes at a time, until the other side gives up."""
        self.proxy.waiting += 1
        try:
            for start in range(0, len(rest), _DRIP_BYTES):
                if self.proxy.closing:
                    return
                self.wfile.write(rest[start : start + _DRIP_BYTES])
                self.wfile.flush()
                time.sleep(_DRIP_PAUSE_S)
        except OSError:
            self.proxy.dropped.append(self.path)

    def _hang(self) -> None:
        """Until the other side gives up."""
        self.proxy.waiting += 1
        self.close_connection = True
        while not self.proxy.closing:
            self.connection.settimeout(_HANG_POLL_S)
            try:
                gone = self.connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                self.proxy.dropped.append(self.path)
                return


class _Garbage(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.recv(1024)
            self.request.sendall(b"\x15\x03\x01 neither TLS nor HTTP \xff\xfe\r\n")


@contextlib.contextmanager
def garbage() -> Iterator[str]:
    """An address where something answers that is neither TLS nor HTTP."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Garbage) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """An address where nobody listens: the port is ours, and not listened on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"
