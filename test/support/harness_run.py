"""A spec for the harness's own tests, as the agent would write it, and a small peer that speaks HTTP."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness import spec

__all__ = ["LIMITS", "MODEL", "TEST", "answer_with", "send", "spec_data", "use_spec"]

TEST = "test/registered/amd/test_x.py"
MODEL = "org/model"
LIMITS = {
    "launch_s": 20,
    "request_s": 5,
    "probe_s": 2,
    "stop_s": 5,
    "failed_requests_max": 0.25,
    "client_overhead_max": 0.05,
}


def spec_data(run_dir: Path, **harness: Any) -> dict[str, Any]:
    stand_in = {
        "id": "tiny",
        "package": "tiny_weights",
        "file": "*.gguf",
        "slots": 2,
        "context": 64,
        "threads": 1,
        "sizes": {"gsm8k": {"items": 3, "shots": 1}, "one_batch": {"batch_sizes": [2], "output_len": 3}},
    }
    return {
        "schema": 1,
        "run_dir": str(run_dir),
        "harness": {
            "hardware_class": "cpu",
            "rehearsal": True,
            "engine": "llamacpp",
            "engine_args": [],
            "features": ["chat", "completions"],
            "known_features": ["chat", "completions", "score_api"],
            "models": {MODEL: {"path": "tiny", "stand_in": stand_in}},
            "capabilities": {},
            "bounds": {TEST: {}},
            "limits": LIMITS,
            **harness,
        },
    }


@contextlib.contextmanager
def use_spec(monkeypatch: pytest.MonkeyPatch, run_dir: Path, **harness: Any) -> Iterator[None]:
    """Have the harness read a spec with these values of its `harness` object; nobody listens to its events."""
    path = run_dir / "spec.json"
    path.write_text(json.dumps(spec_data(run_dir, **harness)))
    monkeypatch.setenv("AMD_CI_SPEC", str(path))
    monkeypatch.setenv("AMD_CI_TEST", TEST)
    monkeypatch.delenv("AMD_CI_EVENTS_FD", raising=False)
    spec.current.cache_clear()
    yield
    spec.current.cache_clear()


@contextlib.contextmanager
def answer_with(reply: Callable[[BaseHTTPRequestHandler, str, Any], None]) -> Iterator[int]:
    """A peer on 127.0.0.1 that answers each request by `reply(handler, path, body)`; its port."""

    class Peer(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hung up is nothing to report, least of all on the next test's standard error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self, self.path, None)

        def do_POST(self) -> None:
            reply(self, self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    server = Peer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, length: int | None = None
) -> None:
    """Answer a request; a `length` above the body's makes an answer that is cut."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()
