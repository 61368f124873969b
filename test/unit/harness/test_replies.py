"""What is made of the bytes that a bench recorded, however they were cut on their way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.replies import read_json, read_stream
from harness.bench.traffic import Recording
from harness.errors import RequestError

pytestmark = pytest.mark.in_container

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n"


def recording(data: bytes, cuts: list[int] | None = None, error: Exception | None = None) -> Recording:
    """Received in pieces that end at `cuts`, the n-th piece after n seconds."""
    ends = sorted({*(cuts or ()), len(data)})
    return Recording(
        number=0,
        due_s=0,
        ended_s=len(ends) + 1,
        client_s=0,
        data=data,
        arrivals=tuple((end, float(second)) for second, end in enumerate(ends, start=1)),
        error=error,
    )


def chunked(pieces: list[bytes]) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def sse(*events: Any) -> list[bytes]:
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]


def token(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": None}], **more}


END = {
    "choices": [{"text": "", "finish_reason": "length"}],
    "usage": {"completion_tokens": 3, "prompt_tokens": 5},
}


@given(
    value=st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8),
    sizes=st.lists(st.integers(1, 20), max_size=10),
    cuts=st.lists(st.integers(1, 400), max_size=10),
)
def test_json_comes_out_whole_from_any_chunks(value: Any, sizes: list[int], cuts: list[int]) -> None:
    body = json.dumps(value).encode()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    data = chunked([*pieces, body[at:]])
    got, at_s = read_json(recording(data, [cut for cut in cuts if cut < len(data)]))
    assert got == value
    assert 1 <= at_s <= len(cuts) + 1


@given(cuts=st.lists(st.integers(1, 600), max_size=20), per_chunk=st.integers(1, 3))
def test_each_token_came_when_its_event_was_whole(cuts: list[int], per_chunk: int) -> None:
    pieces = sse(token("a"), token("b"), token("c"), END)
    groups = [b"".join(pieces[at : at + per_chunk]) for at in range(0, len(pieces), per_chunk)]
    data = chunked(groups)
    sent = recording(data, [cut for cut in cuts if cut < len(data)])
    answered = read_stream(sent)
    assert [count for _, count in answered.tokens] == [1, 1, 1]
    assert (answered.prompt_tokens, answered.output_tokens) == (5, 3)
    for (at_s, _), letter in zip(answered.tokens, "abc", strict=True):
        group = next(group for group in groups if f'"text": "{letter}"'.encode() in group)
        assert at_s == sent.at_s(data.index(group) + len(group))
    assert answered.done_s == sent.at_s(data.rindex(b"[DONE]") + len(b"[DONE]\n\n"))


def test_events_that_hold_several_tokens_say_so_by_their_usage() -> None:
    events = (
        token("ab", usage={"completion_tokens": 2}),
        token("", usage={"completion_tokens": 3}),
        token("c", usage={"completion_tokens": 3}),
        END,
    )
    answered = read_stream(recording(chunked(sse(*events))))
    assert [count for _, count in answered.tokens] == [2, 1], "also a token that has no text yet"


def test_chat_begins_with_a_role_and_no_token() -> None:
    def delta(**parts: str | None) -> dict[str, Any]:
        return {"choices": [{"delta": parts}]}

    events = (
        delta(role="assistant", content=""),
        delta(reasoning_content="hm"),
        delta(content="a", reasoning_content=None),
        END,
    )
    assert len(read_stream(recording(chunked(sse(*events)))).tokens) == 2


def test_body_without_chunks_has_the_times_at_which_its_pieces_came() -> None:
    pieces = sse(token("a"), token("b"), END)
    data = HEAD + b"\r\n" + b"".join(pieces)
    first = data.index(pieces[1])
    answered = read_stream(recording(data, [first, first + len(pieces[1])]))
    assert [at_s for at_s, _ in answered.tokens] == [1, 2]
    assert answered.done_s == 3


def test_body_without_chunks_ends_with_the_connection_or_its_length() -> None:
    body = b"".join(sse(token("a"), END))
    for head in (HEAD + b"\r\n", HEAD + b"Content-Length: %d\r\n\r\n" % len(body)):
        assert read_stream(recording(head + body)).output_tokens == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no HTTP answer"),
        (b"garbage\r\n\r\n", "no HTTP answer"),
        (chunked(sse(token("a")))[:-30], "is cut after"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", "is cut after"),
        (HEAD + b"Content-Length: 99\r\n\r\n{}", "is cut: 2 bytes of 99"),
        (chunked(sse(token("a"))[:1]), r"ended without \[DONE\]"),
        (chunked(sse({"error": {"message": "out of slots"}})), "out of slots"),
        (chunked([b"data: {broken\n\n"]), "not JSON"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 8\r\n\r\ntoo long", "HTTP 400: too long"),
    ],
)
def test_stream_that_is_none_is_an_error(data: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        read_stream(recording(data))


def test_what_broke_the_connection_is_reported() -> None:
    with pytest.raises(RequestError, match="ConnectionResetError: gone"):
        read_json(recording(HEAD, error=ConnectionResetError("gone")))


def test_refusal_carries_its_status_and_a_broken_connection_none() -> None:
    with pytest.raises(RequestError) as refused:
        read_json(recording(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(RequestError) as broken:
        read_json(recording(b""))
    assert (refused.value.status, broken.value.status) == (503, None)


def test_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(RequestError, match="not JSON: b'<html>'"):
        read_json(recording(HEAD + b"Content-Length: 6\r\n\r\n<html>"))
