"""A peer that behaves like an engine's server for the benches: tokenizer, streams, whole replies, caches and adapters."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any, cast

from harness.client import Client
from harness.errors import HarnessError
from harness.server import Server
from support.harness_run import MODEL, answer_with, send

__all__ = ["BENCH_FEATURES", "Peer", "serve"]

BENCH_FEATURES = ["chat", "completions", "flush_cache", "ignore_eos", "lora", "streaming", "tokenize"]
# a tokenizer that puts one token before a text, has one token for each word and two for these
LONG_WORDS = ("glass", "window")


def tokens_in(text: str, *, special: bool) -> int:
    words = text.split()
    return len(words) + sum(word in LONG_WORDS for word in words) + special


@dataclass
class Peer:
    """`asked` are path and body of every request but those to the tokenizer; `most` requests were under way at once.

    `step_s` lies before each event of a stream, `tokens_per_event` in it. `fail(n)` is whether the n-th generating
    request, from 0, fails; it fails with status 500, or by hanging up.
    """

    first_s: float = 0.0
    step_s: float = 0.0
    tokens_per_event: int = 1
    too_few: int = 0
    fail: Callable[[int], bool] = lambda _n: False
    hang_up: bool = False
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    most: int = 0
    _under_way: int = 0
    _generated: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bodies(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]

    def prompts(self) -> list[str]:
        return [body["prompt"] for body in self.bodies("/v1/completions")]

    def reply(self, handler: BaseHTTPRequestHandler, path: str, body: Any) -> None:
        if path == "/tokenize":
            count = tokens_in(body["prompt"], special=body["add_special_tokens"])
            send(handler, json.dumps({"tokens": list(range(100, 100 + count))}).encode())
            return
        with self._lock:
            self.asked.append((path, body))
        if path in self.answers:
            answer = self.answers[path]
            status, value = answer(body) if callable(answer) else (200, answer)
            send(handler, json.dumps(value).encode(), status=status)
        elif path in ("/v1/completions", "/v1/chat/completions"):
            self._generate(handler, body)
        else:
            send(handler, b"{}")

    def _generate(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        with self._lock:
            number, self._generated = self._generated, self._generated + 1
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            if self.fail(number):
                if not self.hang_up:
                    send(handler, b'{"error": "overloaded"}', status=500)
            elif body.get("stream"):
                self._stream(handler, body)
            else:
                time.sleep(self.first_s)
                choice = {"index": 0, "text": "a", "finish_reason": "length"}
                send(handler, json.dumps({"choices": [choice], "usage": self._usage(body)}).encode())
        finally:
            with self._lock:
                self._under_way -= 1

    def _usage(self, body: Any) -> dict[str, int]:
        prompt = body.get("prompt") or body["messages"][0]["content"][-1]["text"]
        return {
            "prompt_tokens": tokens_in(prompt, special=True),
            "completion_tokens": body["max_tokens"] - self.too_few,
        }

    def _stream(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        chat = "messages" in body
        handler.send_response(200)
        handler.end_headers()
        if chat:
            self._event(handler, {"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        wanted = body["max_tokens"] - self.too_few
        time.sleep(self.first_s)
        for sent in range(0, wanted, self.tokens_per_event):
            if sent:
                time.sleep(self.step_s)
            event: dict[str, Any] = {"choices": [{"delta": {"content": "a"}} if chat else {"text": "a"}]}
            if self.tokens_per_event > 1:
                event["usage"] = {"completion_tokens": min(wanted, sent + self.tokens_per_event)}
            self._event(handler, event)
        last = {"text": "", "finish_reason": "length"}
        self._event(handler, {"choices": [last], "usage": self._usage(body)})
        handler.wfile.write(b"data: [DONE]\n\n")

    def _event(self, handler: BaseHTTPRequestHandler, event: dict[str, Any]) -> None:
        handler.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        handler.wfile.flush()


@contextlib.contextmanager
def serve(
    peer: Peer, *, diagnose: Callable[[str, Exception], HarnessError] | None = None
) -> Iterator[Server]:
    """The peer as the server that a bench is given."""
    with answer_with(peer.reply) as port:
        client = Client(port=port, model="alias-1", timeout_s=5, diagnose=diagnose)
        yield cast("Server", SimpleNamespace(client=client, model=MODEL))
