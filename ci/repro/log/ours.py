"""Our own log without its run folder: how each test ended, by the narrator's lines."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ci.catalog.verdicts import Status, Verdict
from ci.repro.log.text import LogLine

__all__ = ["OwnResult", "read_results"]

_STATUSES: Final = {status.row.label: status for status in Status}
_WORDS: Final = "|".join(sorted(map(re.escape, _STATUSES), key=len, reverse=True))
_ENDED: Final = re.compile(
    rf"(?P<word>{_WORDS}) (?P<test>\S+\.py)(?: in [^(:]+)?(?: \([^)]*\))?(?:: (?P<verdict>[a-z-]+)\b.*)?$"
)
_CASE: Final = re.compile(r"FAILED (?:(?P<place>\S+\.py)(?::\d+)? )(?P<case>\S.*)$")
_INDENT: Final = "    "


@dataclass(slots=True, kw_only=True)
class OwnResult:
    """The last word on a test: its status, verdict and evidence, and the cases that failed."""

    file: str
    status: Status
    verdict: Verdict
    evidence: list[str]
    cases: list[str]


def read_results(lines: Iterable[LogLine]) -> list[OwnResult]:
    """How each test ended, in the order of the log; the last word counts."""
    found: dict[str, OwnResult] = {}
    open_result: OwnResult | None = None
    cases: list[str] = []
    for line in lines:
        if open_result is not None and line.text.startswith(_INDENT):
            open_result.evidence.append(line.text.strip())
            continue
        open_result = None
        if ended := _ENDED.match(line.text):
            file = ended["test"]
            verdict = Verdict.of_name(ended["verdict"]) if ended["verdict"] else Verdict.PASSED
            open_result = OwnResult(
                file=file, status=_STATUSES[ended["word"]], verdict=verdict, evidence=[], cases=cases
            )
            found[file], cases = open_result, []
        elif case := _CASE.match(line.text):
            cases.append(f"{case['place']}::{case['case']}")
    return list(found.values())
