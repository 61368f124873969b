"""What the judge takes and gives."""

import re
from dataclasses import dataclass

from .tracebacks import ProcessEnd, RaisedError

__all__ = ["ABOUT", "Ended", "Facts", "FailedCase", "Judgement", "Rule", "failed"]


# Kinds of evidence: the exception that ended a case or a process; how a process ended without one; what the GPU's runtime
# printed; the kernel's log; messages of tools outside of tests.
ABOUT = ("exception", "end", "device", "kernel", "setup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern in the evidence about a failure, and the verdict that it proves.

    `about` are the kinds of evidence in which it is looked for, of `ABOUT`; `only_if` is a key of `conditions.CONDITIONS`.
    """

    id: str
    verdict: str
    about: tuple[str, ...]
    pattern: re.Pattern[str]
    why: str
    only_if: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCase:
    """A case that failed; `verdict` is its own, `assertion` true when it failed by an assertion.

    `chains` are the exceptions that failed it (a phase, a subtest), each followed by what it was raised over; `ended` is the
    process that an exception ended first under it.
    """

    case: str
    message: str = ""
    verdict: str | None = None
    assertion: bool = False
    chains: tuple[tuple[RaisedError, ...], ...] = ()
    ended: ProcessEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt of this run that has ended: its test, its verdict, and the GPUs that it had."""

    test: str
    verdict: str
    gpu_ids: tuple[str, ...] = ()
    passed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a failure; all but the log may be missing.

    `log` is the whole text, `kernel_log` the kernel's lines of that time. `exit_code` or `signal` is the end of the process,
    `failed` are the cases that failed by their events, `ended` is the process of the engine that ended first. `phase` is the
    set-up phase that failed, empty for a test. `test` and `gpu_ids` are this attempt's, `earlier` the attempts of the run that
    ended before it, the first first. `holders` are processes of others that hold memory of these GPUs, in words. `serves`: the
    test started a server of its own, whose output may be elsewhere.
    """

    log: str
    kernel_log: str = ""
    exit_code: int | None = None
    signal: str | None = None
    failed: tuple[FailedCase, ...] = ()
    ended: ProcessEnd | None = None
    oom_kills: int = 0
    phase: str = ""
    test: str = ""
    gpu_ids: tuple[str, ...] = ()
    earlier: tuple[Ended, ...] = ()
    holders: tuple[str, ...] = ()
    serves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How an attempt ended; `rule` is the id of the rule that decided, `symptom` what the same failure has in each run."""

    outcome: str
    verdict: str
    evidence: tuple[str, ...] = ()
    rule: str | None = None
    symptom: str = ""


def failed(verdict: str, *evidence: str, rule: str | None = None) -> Judgement:
    return Judgement(outcome="failed", verdict=verdict, evidence=evidence, rule=rule)
