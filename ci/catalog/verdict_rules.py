"""What logs of failed attempts prove: the rows of `verdicts.toml`."""

from dataclasses import dataclass

from ci.catalog.columns import Regex, Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.toml_reader import closest
from ci.catalog.verdicts import CAUSES, Verdict

__all__ = ["VerdictRule", "load_verdict_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule(Sourced):
    """A case-sensitive pattern in a failed attempt's log and the verdict that it proves."""

    id: Text
    verdict: Verdict
    pattern: Regex


def load_verdict_rules(reader: Reader) -> tuple[VerdictRule, ...]:
    """Read verdicts.toml; what is wrong with it is added to the reader's problems."""
    rows = reader.open("verdicts.toml", "rule").rows("rule", VerdictRule)
    for row in rows:
        if row.verdict not in CAUSES:
            what = f"is {row.verdict.value!r}, which no rule can give"
            reader.problem(row, "verdict", what, closest(row.verdict, CAUSES))
    return rows
