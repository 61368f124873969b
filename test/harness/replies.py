"""What greedy replies of a model have in common, whatever the model: a server that makes its answers up lacks some of it.

Each function says what is wrong, or None. A greedy reply consists of the most likely tokens; it depends on its prompt; a
longer one begins with a shorter one; and it goes on from its own middle as it did before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.client import Reply
from harness.logprobs import TokenLogprob

__all__ = [
    "difference",
    "middle",
    "wrong_continuation",
    "wrong_extension",
    "wrong_logprobs",
    "wrong_variety",
]

# Scores of tokens this close may change places between a prefill and a decode: bfloat16 keeps 8 bits of a logit, which
# is 0.125 of one between 16 and 32.
TIE_NATS = 0.3
# Rounding of log-probabilities that are computed or sent as float32.
ROUNDING = 1e-4
# A byte of a character that other tokens hold the rest of.
_PART = "\ufffd"
_SHOWN_CHARS = 60


def difference(got: Sequence[TokenLogprob], reference: Sequence[TokenLogprob]) -> str | None:
    """Where two replies that have to be the same to the last digit part."""
    pairs: Iterator[tuple[int, tuple[TokenLogprob, TokenLogprob]]]
    pairs = enumerate(zip(got, reference, strict=False))
    for place, (ours, theirs) in pairs:
        if ours != theirs:
            return f"token {place}: {ours.token!r} {ours.logprob!r} instead of {theirs.token!r} {theirs.logprob!r}"
    return None if len(got) == len(reference) else f"{len(got)} tokens instead of {len(reference)}"


def wrong_logprobs(reply: Reply) -> str | None:
    """Whether the log-probabilities of a greedy reply are those of its text."""
    tokens = reply.tokens
    if not tokens:
        return "no log-probabilities"
    # a reply that its model ended has a last token that is not text, and not every server counts it
    ended = reply.finish_reason == "stop"
    counted = reply.usage.get("completion_tokens", 0)
    if abs(len(tokens) - counted) > ended:
        return f"log-probabilities of {len(tokens)} tokens, and {counted} in the usage"
    joined = "".join(token.token for token in tokens)
    whole = [joined, "".join(token.token for token in tokens[:-1])] if ended else [joined]
    if reply.text not in whole and _PART not in joined:
        return f"the tokens are {joined[:_SHOWN_CHARS]!r}, and the text is {reply.text[:_SHOWN_CHARS]!r}"
    for place, token in enumerate(tokens):
        if wrong := _wrong_token(token):
            return f"token {place}, {token.token!r}: {wrong}"
    if len(tokens) > 3 and len({token.logprob for token in tokens}) == 1:
        return f"each of {len(tokens)} tokens has the log-probability {tokens[0].logprob!r}"
    if len(tokens) > 3 and len({tuple(text for text, _ in token.top[1:]) for token in tokens}) == 1:
        return f"each of {len(tokens)} tokens has the same alternatives {[text for text, _ in tokens[0].top[1:]]}"
    return None


def _wrong_token(token: TokenLogprob) -> str | None:
    values = [token.logprob, *(logprob for _, logprob in token.top)]
    if not all(math.isfinite(value) and value <= ROUNDING for value in values):
        return f"{values} are not log-probabilities"
    if not token.top:
        return "no alternatives"
    whole = [text for text, _ in token.top if text and _PART not in text]
    if len(set(whole)) != len(whole):
        return f"an alternative is named twice: {[text for text, _ in token.top]}"
    best, likeliest = token.top[0]
    if likeliest - token.logprob > ROUNDING:
        return f"{best!r} is more likely ({likeliest:g}, not {token.logprob:g}): a greedy reply takes that"
    own = dict(token.top).get(token.token)
    if _PART not in token.token and (own is None or abs(own - token.logprob) > ROUNDING):
        return f"its log-probability is {token.logprob:g}, and {own} among the alternatives"
    total = math.fsum(math.exp(logprob) for _, logprob in token.top)
    return f"the probabilities add up to {total:g}" if total > 1 + ROUNDING else None


def wrong_variety(replies: Mapping[str, str]) -> str | None:
    """Whether texts, by their prompts, depend on the prompts and are more than copies of them."""
    first: dict[str, str] = {}
    for prompt, text in replies.items():
        if not text.strip():
            return f"no text after {prompt!r}"
        if (other := first.setdefault(text, prompt)) != prompt:
            return f"{prompt!r} and {other!r} have the same reply {text[:_SHOWN_CHARS]!r}"
        words, asked = text.split(), prompt.split()
        if len(words) > 1 and f" {' '.join(words)} " in f" {' '.join(asked * (len(words) + 1))} ":
            return f"the reply to {prompt!r} is the prompt again"
    return None


def wrong_extension(short: Reply, long: Reply) -> str | None:
    """Whether a greedy reply with a higher limit begins with the one with a lower limit, and goes on."""
    if not long.text.startswith(short.text):
        return f"the shorter reply is {short.text[:_SHOWN_CHARS]!r}, and the longer one {long.text[:_SHOWN_CHARS]!r}"
    if len(long.text) <= len(short.text):
        return f"a higher limit gives no more text than {short.text[:_SHOWN_CHARS]!r}"
    if short.tokens and (wrong := difference(long.tokens[: len(short.tokens)], short.tokens)):
        return f"the longer reply begins with other log-probabilities: {wrong}"
    return None


def middle(tokens: Sequence[TokenLogprob]) -> int:
    """A place near the middle where a word begins: text that is cut there has the same tokens again; 0 when there is none."""
    half = len(tokens) // 2
    places = [
        place
        for place in range(1, len(tokens))
        if tokens[place].token[:1] == " "
        and tokens[place].token[1:2].isalpha()
        and _PART not in tokens[place - 1].token
    ]
    return min(places, key=lambda place: abs(place - half), default=0)


def wrong_continuation(whole: Sequence[TokenLogprob], at: int, rest: Sequence[TokenLogprob]) -> str | None:
    """Whether the reply to the prompt with the first `at` tokens of its own reply is the rest of that reply.

    A token may differ where two scores are as good as equal; what follows it then means nothing.
    """
    for place, (before, now) in enumerate(zip(whole[at:], rest, strict=False), start=at):
        if before.token == now.token:
            continue
        scores = dict(before.top)
        if before.logprob - scores.get(now.token, -math.inf) <= TIE_NATS:
            return None
        return f"token {place} is {before.token!r}, and {now.token!r} when the text before it is given as the prompt"
    return None if len(rest) == len(whole) - at else f"{len(rest)} tokens instead of {len(whole) - at}"
