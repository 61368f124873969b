"""What the evidence about a failure proves: the rows of `verdicts.toml`."""

from dataclasses import dataclass
from enum import StrEnum

from ci.catalog.columns import Regex, Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.toml_reader import closest
from ci.catalog.verdicts import Verdict

__all__ = ["About", "OnlyIf", "VerdictRule", "load_verdict_rules"]


# what a rule may give: causes, and what ends a phase before the tests
RULED = tuple(verdict for verdict in Verdict if verdict.row.cause or verdict.row.phase)


class About(StrEnum):
    """A kind of evidence; docs/verdicts.md says what belongs to it."""

    EXCEPTION = "exception"
    END = "end"
    DEVICE = "device"
    KERNEL = "kernel"
    SETUP = "setup"


class OnlyIf(StrEnum):
    """What has to hold beside the pattern."""

    ALWAYS = ""
    MEMORY_OF_OTHERS = "memory-of-others"
    MEMORY_OF_ITS_OWN = "memory-of-its-own"
    VICTIM_WAS_SMALL = "victim-was-small"
    ANOTHER_HOST = "another-host"
    SERVICE_ELSEWHERE = "service-elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule(Sourced):
    """A case-sensitive pattern, the kinds of evidence in which it is looked for, and the verdict that it proves."""

    id: Text
    verdict: Verdict
    about: tuple[About, ...]
    only_if: OnlyIf = OnlyIf.ALWAYS
    pattern: Regex


def load_verdict_rules(reader: Reader) -> tuple[VerdictRule, ...]:
    """Read verdicts.toml; what is wrong with it is added to the reader's problems."""
    rows = reader.open("verdicts.toml", "rule").rows("rule", VerdictRule)
    for row in rows:
        if row.verdict not in RULED:
            what = f"is {row.verdict.value!r}, which no rule can give"
            reader.problem(row, "verdict", what, closest(row.verdict, RULED))
        if not row.about:
            reader.problem(row, "about", "is empty", f"known: {', '.join(About)}")
    return rows
