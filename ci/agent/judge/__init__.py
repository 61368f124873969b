"""Why something failed, from its log and from what else is known about it. Pure: no files, no processes, no clock.

The standard library of Python 3.10 alone, and nothing of ours outside this package: it is carried in the agent's archive, and
rooms of the host judge logs with it too (decision 0022). A test process reads its spec with these values: what judges is imported
from its modules by who judges.
"""

from .conditions import CONDITIONS
from .values import ABOUT, Ended, Facts, FailedCase, Judgement, Rule, failed

__all__ = [
    "ABOUT",
    "CONDITIONS",
    "Ended",
    "Facts",
    "FailedCase",
    "Judgement",
    "Rule",
    "failed",
]
