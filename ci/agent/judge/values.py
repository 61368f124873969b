"""What the judge takes and gives."""

import re
from dataclasses import dataclass

from .tracebacks import ProcessEnd, RaisedError

__all__ = ["Earlier", "Facts", "FailedCase", "Judgement", "Rule", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern in the evidence about a failure, and the verdict that it proves."""

    id: str
    verdict: str
    pattern: re.Pattern[str]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCase:
    """A case that failed; `verdict` is its own, `assertion` true when it failed by an assertion.

    `chain` is the exception that ended it, then what each was raised over; `ended` the process that an exception ended first
    under it.
    """

    case: str
    message: str = ""
    verdict: str | None = None
    assertion: bool = False
    chain: tuple[RaisedError, ...] = ()
    ended: ProcessEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier attempt of the same test: its verdict, and the GPUs that it had."""

    verdict: str
    gpu_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a failure; all but the log may be missing.

    `log` is the whole text, `kernel_log` the kernel's lines of that time. `exit_code` or `signal` is the end of the process,
    `failed` are the cases that failed by their events, `ended` is the process of the engine that ended first. `phase` is the
    set-up phase that failed, empty for a test. `gpu_ids` are this attempt's, `earlier` the attempts before it, the first first.
    """

    log: str
    kernel_log: str = ""
    exit_code: int | None = None
    signal: str | None = None
    failed: tuple[FailedCase, ...] = ()
    ended: ProcessEnd | None = None
    oom_kills: int = 0
    phase: str = ""
    gpu_ids: tuple[str, ...] = ()
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How an attempt ended; `rule` is the id of the rule that decided."""

    outcome: str
    verdict: str
    evidence: tuple[str, ...] = ()
    rule: str | None = None


def failed(verdict: str, *evidence: str, rule: str | None = None) -> Judgement:
    return Judgement(outcome="failed", verdict=verdict, evidence=evidence, rule=rule)
