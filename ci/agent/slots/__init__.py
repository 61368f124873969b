"""Which test is next on which slots: pure, so that the host plans with the same rule by which agents run tests."""

from .forecast import Expected, expect
from .rule import Held, Slots, Start, Waiting, in_order, next_start
from .wanted import slots_for, waiting_for

__all__ = [
    "Expected",
    "Held",
    "Slots",
    "Start",
    "Waiting",
    "expect",
    "in_order",
    "next_start",
    "slots_for",
    "waiting_for",
]
