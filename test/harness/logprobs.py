"""Log-probabilities of the tokens of a reply, in the two shapes that servers send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TokenLogprob", "tokens_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token, its natural log-probability, and the most likely tokens at its place, best first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


def tokens_of(logprobs: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...]:
    """`choices[].logprobs` of either endpoint as one list; empty when there are none.

    The chat shape is `{"content": [{"token", "logprob", "top_logprobs": [...]}]}`, which llama.cpp sends from
    /v1/completions too; OpenAI's shape of that endpoint is `{"tokens", "token_logprobs", "top_logprobs"}`, where the
    first token of an echoed prompt has no log-probability and is left out.
    """
    if logprobs is None:
        return ()
    if logprobs.get("content") is not None:
        return tuple(
            TokenLogprob(
                token=item["token"],
                logprob=item["logprob"],
                top=_best_first(
                    (other["token"], other["logprob"]) for other in item.get("top_logprobs") or ()
                ),
            )
            for item in logprobs["content"]
        )
    tokens = logprobs.get("tokens") or []
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(token=token, logprob=logprob, top=_best_first((top or {}).items()))
        for token, logprob, top in zip(tokens, logprobs.get("token_logprobs") or [], tops, strict=True)
        if logprob is not None
    )


def _best_first(pairs: Any) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
