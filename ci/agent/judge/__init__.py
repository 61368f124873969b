"""Why something failed, from its log and from what else is known about it. Pure: no files, no processes, no clock.

The standard library of Python 3.10 alone, and nothing of ours outside this package: it is carried in the agent's archive, and
rooms of the host judge logs with it too (decision 0022).
"""

from .conditions import CONDITIONS
from .judge import judge_log
from .symptom import symptom_of
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
    "judge_log",
    "symptom_of",
]
