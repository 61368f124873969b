"""Prompts of random words that have an exact number of tokens.

A prompt is text and not token ids, because the server's tokenizer is part of what a serving bench measures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import events
from harness.client import Client
from harness.errors import MeasurementError
from harness.spec import current

__all__ = ["Prompts"]

_WORDS = Path(__file__).parent.parent / "data" / "words.txt"
_VERIFIED = 3  # texts that are counted again as a whole: what holds for the words holds for all of them
_WORDS_MIN = 32


class Prompts:
    """Makes prompts for one server, always the same ones from the same seed.

    The words are those that the server's tokenizer gives one token each; without a tokenizer one token each is an
    estimate, which a note says.
    """

    def __init__(self, client: Client, *, seed: int) -> None:
        self._choose = random.Random(seed)
        self._words: Sequence[str] = _WORDS.read_text(encoding="utf-8").split()
        self._once: Mapping[bool, int] = {True: 0, False: 0}
        self._counts = "tokenize" in current().features
        self._client = client
        if not self._counts:
            events.note(
                f"engine {current().engine} has no /tokenize: prompt lengths are estimated, one token a word"
            )
            return
        single = self._single_token_words(self._words)
        if len(single) < _WORDS_MIN:
            raise MeasurementError(
                f"only {len(single)} of {len(self._words)} common words have one token each",
                cause="a tokenizer for which prompts of an exact length cannot be made of English words",
            )
        self._words = single
        # what the tokenizer adds once to any text, such as a token that begins the text
        words = 2 * len(self._words)
        sample = self._joined(words)
        self._once = {special: self._count(sample, special=special) - words for special in (True, False)}

    def _count(self, text: str, *, special: bool = False) -> int:
        return len(self._client.tokenize(text, special=special))

    def _single_token_words(self, words: Sequence[str]) -> list[str]:
        """Those of `words` that have one token each; halved until all of a part have."""
        text = "".join(f" {word}" for word in words)
        # twice the text less the text is free of what the tokenizer adds once
        if self._count(text * 2) - self._count(text) == len(words):
            return list(words)
        if len(words) == 1:
            return []
        middle = len(words) // 2
        return [*self._single_token_words(words[:middle]), *self._single_token_words(words[middle:])]

    def _joined(self, words: int) -> str:
        return "".join(f" {word}" for word in self._choose.choices(self._words, k=words))

    def texts(self, count: int, *, tokens: int, special: bool = True) -> list[str]:
        """`count` texts of `tokens` tokens each; `special` includes those that the server puts around a prompt.

        Raises `MeasurementError` when the tokenizer does not confirm the length of the first ones.
        """
        words = tokens - self._once[special]
        if words < 1:
            raise MeasurementError(
                f"no text has {tokens} tokens: the tokenizer adds {self._once[special]} to every text"
            )
        texts = [self._joined(words) for _ in range(count)]
        for text in texts[:_VERIFIED] if self._counts else ():
            has = self._count(text, special=special)
            if has != tokens:
                raise MeasurementError(f"a text that should have {tokens} tokens has {has}: {text[:80]!r}")
        return texts
