"""Requests to a server that answers well, badly, half or not at all."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness.client import Client
from harness.errors import EngineError, HarnessError, RequestError
from support.harness_run import answer_with, send

pytestmark = pytest.mark.in_container

Reply = Callable[[BaseHTTPRequestHandler, str, Any], None]


def client(port: int, **options: Any) -> Client:
    return Client(**{"port": port, "model": "alias-1", "timeout_s": 5, **options})


def reply_json(value: Any, *, status: int = 200) -> Reply:
    return lambda handler, _path, _body: send(handler, json.dumps(value).encode(), status=status)


def reply_stream(*events: str) -> Reply:
    return lambda handler, _path, _body: send(
        handler, "".join(f"data: {event}\n\n" for event in events).encode()
    )


def test_choices_come_in_the_order_of_their_index() -> None:
    raw = {
        "choices": [
            {"index": 1, "text": "second", "finish_reason": "length"},
            {"index": 0, "text": "first", "finish_reason": "stop", "logprobs": None},
        ],
        "usage": {"completion_tokens": 2},
    }
    with answer_with(reply_json(raw)) as port:
        reply = client(port).completions("x")
    assert [choice.text for choice in reply.choices] == ["first", "second"]
    assert (reply.text, reply.finish_reason, reply.usage) == ("first", "stop", {"completion_tokens": 2})


def test_chat_reply_without_content_is_an_empty_text() -> None:
    with answer_with(reply_json({"choices": [{"index": 0, "message": {"content": None}}]})) as port:
        assert client(port).chat([{"role": "user", "content": "x"}]).text == ""


def test_defaults_go_with_every_generating_request_and_can_be_overridden() -> None:
    seen: list[tuple[str, Any]] = []

    def reply(handler: BaseHTTPRequestHandler, path: str, body: Any) -> None:
        seen.append((path, body))
        if body.get("stream"):
            send(handler, b'data: {"choices": [{"text": "a"}]}\n\ndata: [DONE]\n\n')
        else:
            send(
                handler,
                b'{"choices": [{"index": 0, "text": "a"}], "data": [{"index": 0, "embedding": [0.5]}]}',
            )

    with answer_with(reply) as port:
        asking = client(port, defaults={"cache_prompt": False})
        asking.completions("x", max_tokens=3)
        asking.chat([{"role": "user", "content": "x"}], cache_prompt=True)
        list(asking.stream_completions([1, 2]))
        assert asking.embeddings(["x"]) == [[0.5]]
    assert [path for path, _ in seen] == [
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
    ]
    assert seen[0][1] == {"model": "alias-1", "cache_prompt": False, "prompt": "x", "max_tokens": 3}
    assert seen[1][1]["cache_prompt"] is True
    assert seen[2][1]["cache_prompt"] is False
    assert seen[2][1]["stream"] is True
    assert "cache_prompt" not in seen[3][1]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answer_with(reply_json({"data": [{"id": "alias-1"}]})) as port:
        assert client(port).models() == ["alias-1"]


def test_refusal_carries_status_and_body() -> None:
    refusal = reply_json({"error": {"message": "max_tokens must be a number"}}, status=400)
    says = r"POST /v1/completions: HTTP 400: .*must be a number"
    with answer_with(refusal) as port, pytest.raises(RequestError, match=says) as error:
        client(port).completions("x", max_tokens="many")
    assert error.value.status == 400
    assert json.loads(error.value.body)["error"]["message"] == "max_tokens must be a number"
    assert error.value.verdict is None, "the rules over the log decide, product by default"


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"choices": []}', b"{}"])
def test_answer_that_is_not_a_reply_is_an_error(body: bytes) -> None:
    with answer_with(lambda handler, _path, _body: send(handler, body)) as port, pytest.raises(RequestError):
        client(port).completions("x")


def test_stream_is_handed_out_as_it_comes() -> None:
    def reply(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for text in ("one", " two"):
            handler.wfile.write(
                f'data: {{"choices": [{{"text": "{text}", "finish_reason": null}}]}}\n\n'.encode()
            )
            handler.wfile.flush()
            time.sleep(0.2)
        handler.wfile.write(b'data: {"choices": [], "usage": {"completion_tokens": 2}}\n\ndata: [DONE]\n\n')

    with answer_with(reply) as port:
        chunks = list(client(port).stream_completions("x"))
    assert [chunk.text for chunk in chunks] == ["one", " two", ""]
    assert chunks[-1].usage == {"completion_tokens": 2}
    assert chunks[0].at_s < 0.2 <= chunks[1].at_s


@pytest.mark.parametrize(
    "reply",
    [
        reply_stream('{"choices": [{"text": "a"}]}'),
        lambda handler, _path, _body: send(
            handler, b'data: {"choices": [{"text": "a"}]}\n\ndata: {"cho', length=999
        ),
    ],
    ids=["no [DONE]", "cut in an event"],
)
def test_stream_that_ends_early_is_an_error_after_what_came(reply: Reply) -> None:
    with answer_with(reply) as port:
        chunks = client(port).stream_completions("x")
        assert next(chunks).text == "a"
        with pytest.raises(RequestError, match="no answer"):
            next(chunks)


def test_error_in_a_stream_is_an_error() -> None:
    reply = reply_stream('{"error": {"message": "out of slots"}}', "[DONE]")
    with answer_with(reply) as port, pytest.raises(RequestError, match="out of slots"):
        list(client(port).stream_completions("x"))


def test_connection_that_breaks_is_diagnosed_by_who_started_the_server() -> None:
    asked: list[tuple[str, Exception]] = []

    def diagnose(what: str, error: Exception) -> HarnessError:
        asked.append((what, error))
        return EngineError("the server died")

    def hang_up(handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
        handler.close_connection = True

    with answer_with(hang_up) as port, pytest.raises(EngineError, match="the server died"):
        client(port, diagnose=diagnose).completions("x")
    with pytest.raises(EngineError):  # nobody listens any more
        client(port, diagnose=diagnose).completions("x")
    assert [what for what, _ in asked] == ["POST /v1/completions"] * 2
    assert all(isinstance(error, ConnectionError) for _, error in asked)


def test_silence_ends_with_the_time_limit() -> None:
    def hang(_handler: BaseHTTPRequestHandler, _path: str, _body: Any) -> None:
        time.sleep(0.6)

    with answer_with(hang) as port:
        started = time.monotonic()
        with pytest.raises(RequestError, match="TimeoutError"):
            client(port, timeout_s=0.2).completions("x")
    assert time.monotonic() - started < 5


def test_tokenize_speaks_both_dialects() -> None:
    seen: list[Any] = []

    def reply(handler: BaseHTTPRequestHandler, path: str, body: Any) -> None:
        seen.append(body)
        send(handler, b'{"tokens": [5, 6], "count": 2}' if path == "/tokenize" else answers.pop())

    answers = [b'{"content": "from llama.cpp"}', b'{"text": "from sglang"}']
    with answer_with(reply) as port:
        assert client(port).tokenize("hello") == [5, 6]
        assert client(port).tokenize("hello", special=True) == [5, 6]
        assert client(port).detokenize([5]) == "from sglang"
        assert client(port).detokenize([5]) == "from llama.cpp"
    assert seen[0]["prompt"] == seen[0]["content"] == "hello"
    assert seen[0]["add_special_tokens"] is seen[0]["add_special"] is False
    assert seen[1]["add_special_tokens"] is seen[1]["add_special"] is True
