"""What a test process may say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.messages import parse_message

pytestmark = pytest.mark.in_container


def test_a_case_has_every_key() -> None:
    kind, keys = parse_message(b'{"type": "case", "case": "a::b", "outcome": "passed", "more": 1}')
    assert kind == "case"
    assert keys == {
        "case": "a::b",
        "outcome": "passed",
        "duration_s": 0.0,
        "message": "",
        "details": "",
        "file": None,
        "line": None,
        "verdict": None,
        "assertion": False,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"type": "weather"}',
        '{"type": ["case"]}',
        '{"type": "case", "case": 3, "outcome": "passed"}',
        '{"type": "case", "case": "a", "outcome": "fine"}',
        '{"type": "case", "case": "a", "outcome": ["passed"]}',
        '{"type": "case", "case": "a"}',
        '{"type": "metric", "metric": "a", "value": NaN}',
        '{"type": "metric", "metric": "a", "value": "1"}',
        '{"type": "metric", "metric": "a", "value": true}',
        '{"type": "session", "exit_code": "0"}',
        "[" * 5000,
    ],
)
def test_what_is_not_understood_is_a_note_with_the_raw_text(text: str) -> None:
    assert parse_message(text.encode()) == ("note", {"text": text})


@given(st.binary(max_size=200))
def test_no_bytes_can_break_it(data: bytes) -> None:
    kind, keys = parse_message(data)
    json.dumps({"type": kind, **keys}, allow_nan=False).encode()
