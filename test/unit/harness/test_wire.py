"""Reading what servers send: streams, log-probabilities, answers."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import sse
from harness.evals.answers import answer_in
from harness.logprobs import TokenLogprob, tokens_of

pytestmark = pytest.mark.in_container

# --- server-sent events

_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
_EVENTS = st.lists(st.lists(_LINE, min_size=1, max_size=3), max_size=5)


@given(
    sent=_EVENTS,
    newline=st.sampled_from(["\n", "\r\n"]),
    space=st.sampled_from(["", " "]),
    noise=st.booleans(),
)
def test_events_come_out_as_they_went_in(
    sent: list[list[str]], newline: str, space: str, *, noise: bool
) -> None:
    lines = []
    for event in sent:
        if noise:
            lines += [": a comment", "event: ping", "id: 7"]
        # a value that begins with a space needs the separating one
        lines += [f"data:{space or (' ' if part[:1] == ' ' else '')}{part}" for part in event]
        lines.append("")
    raw = [(line + newline).encode() for line in lines]
    assert list(sse.data_of(raw)) == ["\n".join(event) for event in sent]


def test_event_that_was_cut_is_not_handed_out() -> None:
    assert list(sse.data_of([b'data: {"a": 1}\n', b"\n", b'data: {"b": '])) == ['{"a": 1}']


def test_bytes_that_are_no_utf8_do_not_end_the_stream() -> None:
    assert list(sse.data_of([b"data: a\xffb\n", b"\n", b"data: [DONE]\n", b"\n"])) == ["a\ufffdb", sse.DONE]


# --- log-probabilities


def one(text: str, logprob: float, *top: tuple[str, float]) -> TokenLogprob:
    return TokenLogprob(token=text, logprob=logprob, top=top)


EXPECTED = (
    one(" Paris", -0.25, (" Paris", -0.25), (" the", -2.75)),
    one(".", -0.5, (".", -0.5), (",", -1.5)),
)


def test_chat_shape() -> None:
    assert (
        tokens_of(
            {
                "content": [
                    {
                        "id": 7042,
                        "token": " Paris",
                        "bytes": [32],
                        "logprob": -0.25,
                        "top_logprobs": [
                            {"token": " Paris", "logprob": -0.25},
                            {"token": " the", "logprob": -2.75},
                        ],
                    },
                    {
                        "token": ".",
                        "logprob": -0.5,
                        "top_logprobs": [{"token": ",", "logprob": -1.5}, {"token": ".", "logprob": -0.5}],
                    },
                ]
            }
        )
        == EXPECTED
    )


def test_completions_shape() -> None:
    assert (
        tokens_of(
            {
                "text_offset": [0, 6],
                "tokens": [" Paris", "."],
                "token_logprobs": [-0.25, -0.5],
                "top_logprobs": [{" the": -2.75, " Paris": -0.25}, {".": -0.5, ",": -1.5}],
            }
        )
        == EXPECTED
    )


def test_echoed_first_token_has_no_logprob_and_is_left_out() -> None:
    shape = {
        "tokens": ["The", " end"],
        "token_logprobs": [None, -1.0],
        "top_logprobs": [None, {" end": -1.0}],
    }
    assert tokens_of(shape) == (one(" end", -1.0, (" end", -1.0)),)


def test_without_top_logprobs_the_tokens_stay() -> None:
    only_token = (one("a", -1.0),)
    assert tokens_of({"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": None}) == only_token
    assert tokens_of({"content": [{"token": "a", "logprob": -1.0}]}) == only_token
    assert tokens_of(None) == ()


def test_lists_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        tokens_of({"tokens": ["a", "b"], "token_logprobs": [-1.0], "top_logprobs": None})


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=3), st.floats(-50, 0)),
        min_size=1,
        max_size=5,
        unique_by=lambda p: p[0],
    )
)
def test_both_shapes_mean_the_same(pairs: list[tuple[str, float]]) -> None:
    token, logprob = pairs[0]
    chat = {
        "content": [
            {
                "token": token,
                "logprob": logprob,
                "top_logprobs": [{"token": t, "logprob": p} for t, p in pairs],
            }
        ]
    }
    completions = {"tokens": [token], "token_logprobs": [logprob], "top_logprobs": [dict(pairs)]}
    assert tokens_of(chat) == tokens_of(json.loads(json.dumps(completions)))


# --- answers

NUMBERS = st.decimals(-(10**9), 10**9, allow_nan=False, places=2) | st.integers(-(10**9), 10**9).map(Decimal)
PROSE = st.text(st.sampled_from("abc xyz.,;()\n"), max_size=30)


def written(number: Decimal, *, commas: bool, dollar: bool) -> str:
    digits = f"{abs(number):,}" if commas else f"{abs(number):f}"
    return ("-" if number < 0 else "") + ("$" if dollar else "") + digits


@given(number=NUMBERS, before=PROSE, after=PROSE, commas=st.booleans(), dollar=st.booleans())
def test_stated_answer_is_found_in_any_spelling(
    number: Decimal, before: str, after: str, *, commas: bool, dollar: bool
) -> None:
    text = (
        f"{before} 3 + 4 = 7. The answer is {written(number, commas=commas, dollar=dollar)}.{after} Also 99."
    )
    assert answer_in(text) == number


@given(numbers=st.lists(NUMBERS, min_size=1, max_size=4), words=PROSE, commas=st.booleans())
def test_last_number_counts_where_none_is_stated(numbers: list[Decimal], words: str, *, commas: bool) -> None:
    text = f"{words} ".join(f" {written(number, commas=commas, dollar=False)} apples" for number in numbers)
    assert answer_in(text) == numbers[-1]


@given(PROSE)
def test_text_without_a_digit_has_no_answer(text: str) -> None:
    assert answer_in(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 7.", 7),
        ("the answer is: $1,234.50", Decimal("1234.50")),
        ("The answer is -5", -5),
        ("The answer is -$5", -5),
        ("The answer is 18. Question: 2 + 2? The answer is 4.", 18),
        ("7-5 = 2", 2),
        ("it leaves 7-5", 5),
        ("costs $3.50.", Decimal("3.50")),
        ("1,5", 5),
        ("So he has 12 apples.\n\n", 12),
        ("#### 72", 72),
        ("version v2", None),
        ("", None),
    ],
)
def test_spellings_seen_in_replies(text: str, answer: Decimal | int | None) -> None:
    assert answer_in(text) == answer
