"""Reading the number that a model gives as its answer."""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = ["answer_in", "final_answer_in"]

_NUMBER = r"[-+]?\$?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_STATED = re.compile(rf"the answer is\s*:?\s*({_NUMBER})", re.IGNORECASE)
_ANY = re.compile(rf"(?<![\w.])({_NUMBER})")


def answer_in(text: str) -> Decimal | None:
    """The number after the first "The answer is", else the last number; None when there is none.

    Reads `1,234`, `-5`, `$3.50` and `-$2`; a minus sign between two numbers (`7-5`) is a subtraction.
    """
    stated = _STATED.search(text)
    if stated:
        return _decimal(stated.group(1))
    numbers = _ANY.findall(text)
    return _decimal(numbers[-1]) if numbers else None


def final_answer_in(text: str) -> Decimal | None:
    """The last number after the last "Answer:"; None when there is none, for a reply that was cut has no answer."""
    _, mark, rest = text.rpartition("Answer:")
    numbers = _ANY.findall(rest) if mark else ()
    return _decimal(numbers[-1]) if numbers else None


def _decimal(written: str) -> Decimal:
    return Decimal(re.sub(r"[,$\s]", "", written))
