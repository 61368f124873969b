"""What is wrong with a reply."""

import math
from dataclasses import replace

import pytest

from harness.client import Choice, Reply
from harness.logprobs import TokenLogprob
from harness.replies import (
    difference,
    middle,
    wrong_continuation,
    wrong_extension,
    wrong_logprobs,
    wrong_variety,
)

pytestmark = pytest.mark.in_container


def token(text: str, logprob: float = -0.5, *others: str) -> TokenLogprob:
    rest = tuple((other, logprob - 3 - number) for number, other in enumerate(others))
    return TokenLogprob(token=text, logprob=logprob, top=((text, logprob), *rest))


TOKENS = (
    token("Once", -0.2, "One"),
    token(" upon", -0.3, "!"),
    token(" a", -0.1, " the"),
    token(" time", -0.4, " day"),
)


def reply(*tokens: TokenLogprob, text: str | None = None, count: int | None = None) -> Reply:
    joined = "".join(token.token for token in tokens)
    choice = Choice(text=joined if text is None else text, finish_reason="length", tokens=tokens)
    usage = {"completion_tokens": len(tokens) if count is None else count}
    return Reply(choices=(choice,), usage=usage, raw={})


def test_an_honest_reply_has_nothing_wrong() -> None:
    assert wrong_logprobs(reply(*TOKENS)) is None
    assert wrong_logprobs(reply(token("\ufffd"), token("\ufffd", -0.6), text="é")) is None, (
        "bytes of one character"
    )
    end = replace(
        reply(*TOKENS, token("<end>", -0.9, "!"), text="Once upon a time").choices[0], finish_reason="stop"
    )
    for count in (4, 5):
        ended = Reply(choices=(end,), usage={"completion_tokens": count}, raw={})
        assert wrong_logprobs(ended) is None, "the token that ends it is no text"
    assert difference(TOKENS, TOKENS) is None
    assert wrong_extension(reply(*TOKENS[:2]), reply(*TOKENS)) is None
    assert wrong_continuation(TOKENS, 2, TOKENS[2:]) is None
    assert wrong_variety({"The sky is": " blue", "Grass is": " green"}) is None


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (reply(), "no log-probabilities"),
        (reply(*TOKENS, count=3), "4 tokens, and 3 in the usage"),
        (reply(*TOKENS[::-1], text="Once upon a time"), "the text is 'Once upon a time'"),
        (reply(token("a", 0.5)), "are not log-probabilities"),
        (reply(token("a", math.nan)), "are not log-probabilities"),
        (reply(TokenLogprob(token="a", logprob=-1, top=())), "no alternatives"),
        (reply(token("a", -1, "b", "b")), "named twice"),
        (reply(TokenLogprob(token="a", logprob=-2, top=(("b", -0.1), ("a", -2)))), "'b' is more likely"),
        (reply(TokenLogprob(token="a", logprob=-1, top=(("b", -1.0),))), "None among the alternatives"),
        (reply(TokenLogprob(token="a", logprob=-0.1, top=(("a", -0.1), ("b", -0.2)))), "add up to"),
        (reply(*(token(text, -0.5, "x") for text in "abcd")), "has the log-probability -0.5"),
        (reply(*(token(text, -0.1 * ord(text), "x") for text in "abcd")), "the same alternatives ['x']"),
    ],
)
def test_a_lie_in_the_log_probabilities_is_named(told: Reply, wrong: str) -> None:
    assert wrong in str(wrong_logprobs(told))


@pytest.mark.parametrize(
    ("replies", "wrong"),
    [
        ({"a b": "42", "c d": "42"}, "have the same reply '42'"),
        ({"a b": " "}, "no text after 'a b'"),
        ({"the sky is": " the sky is the"}, "is the prompt again"),
        ({"the sky is": "sky is the sky"}, "is the prompt again"),
    ],
)
def test_a_reply_that_does_not_depend_on_its_prompt_is_named(replies: dict[str, str], wrong: str) -> None:
    assert wrong in str(wrong_variety(replies))


def test_a_longer_reply_has_to_begin_with_the_shorter_one() -> None:
    assert "the shorter reply is" in str(wrong_extension(reply(token("x")), reply(*TOKENS)))
    assert "no more text" in str(wrong_extension(reply(*TOKENS), reply(*TOKENS)))
    other = (token("Once", -0.7, "One"), *TOKENS[1:])
    assert "token 0: 'Once' -0.7" in str(wrong_extension(reply(*TOKENS[:2]), reply(*other)))


def test_a_reply_is_cut_where_a_word_begins() -> None:
    assert middle(TOKENS) == 2
    assert middle([token(text) for text in (" a", "b", "c", "d", " e")]) == 4
    assert middle([token(text) for text in ("a", "b", "1", " 2")]) == 0


def test_the_rest_of_a_reply_may_differ_at_a_tie_alone() -> None:
    assert "token 2 is ' a'" in str(wrong_continuation(TOKENS, 2, (token(" b"), TOKENS[3])))
    assert "1 tokens instead of 2" in str(wrong_continuation(TOKENS, 2, TOKENS[2:3]))
    tie = TokenLogprob(token=" a", logprob=-0.7, top=((" a", -0.7), (" the", -0.8)))
    assert wrong_continuation((*TOKENS[:2], tie, TOKENS[3]), 2, (token(" the"), token(" x"))) is None
