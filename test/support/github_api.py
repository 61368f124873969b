"""A stand-in for GitHub's REST API on loopback: it speaks the shapes that the API's documentation shows for Actions."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["Answer", "FakeGitHub", "job", "serve"]


@dataclass
class Answer:
    """What a path is answered with."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeGitHub:
    """Answers by path; `asked` are the requests as (server, path with query, Authorization)."""

    url: str = ""
    storage: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def put(self, path: str, value: Any, status: int = 200, **headers: str) -> None:
        """Answer `path` so; several answers are given one after the other, the last one for good."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers.setdefault(path, []).append(Answer(status, body, named))

    def put_log(self, number: int, log: bytes) -> None:
        """A job's log as GitHub serves it: a redirect to storage that has its own signature in the address."""
        where = f"/store/{number}?sig=secret"
        self.put(f"/repos/o/r/actions/jobs/{number}/logs", b"", 302, Location=self.storage + where)
        self.put(f"/store/{number}", log)


def job(number: int, name: str, conclusion: str = "failure") -> dict[str, Any]:
    """A job as the API describes it."""
    return {
        "id": number,
        "run_id": 7,
        "name": name,
        "head_sha": "c" * 40,
        "status": "completed",
        "conclusion": conclusion,
        "html_url": f"https://github.com/o/r/actions/runs/7/job/{number}",
        "labels": ["linux-north-1gpu"],
    }


@contextmanager
def serve() -> Iterator[FakeGitHub]:
    """The API and, on another port and so another origin, its storage."""
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            host = self.headers.get("Host", "")
            fake.asked.append((host, self.path, self.headers.get("Authorization", "")))
            page = parse_qs(split.query).get("page", [""])[0]
            known = fake.answers.get(f"{split.path}?page={page}") or fake.answers.get(split.path)
            answer = (
                (known.pop(0) if len(known) > 1 else known[0])
                if known
                else Answer(404, b'{"message": "Not Found"}')
            )
            self.send_response(answer.status)
            for name, text in answer.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_words: Any) -> None:
            return

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in servers
    ]
    for thread in threads:
        thread.start()
    fake.url, fake.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield fake
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
