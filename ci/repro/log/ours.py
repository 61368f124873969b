"""Our own log without its run folder: how each test ended, by the narrator's lines."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ci.catalog.verdicts import Status, Verdict
from ci.repro.log.text import LogLine

__all__ = ["Around", "OwnResult", "read_around", "read_results"]

_STATUSES: Final = {status.row.label: status for status in Status}
# of a test that was running when the run was stopped
_UNFINISHED: Final = "UNFINISHED"
_WORDS: Final = "|".join(sorted(map(re.escape, (*_STATUSES, _UNFINISHED)), key=len, reverse=True))
_ENDED: Final = re.compile(
    rf"(?P<word>{_WORDS}) (?P<test>\S+\.py)(?: in [^(:]+)?(?: \([^)]*\))?(?:: (?P<verdict>[a-z-]+)\b.*)?$"
)
_CASE: Final = re.compile(r"FAILED (?:(?P<place>\S+\.py)(?::\d+)? )(?P<case>\S.*)$")
_PHASE: Final = re.compile(
    r"(?P<word>done|WARNING|skipped|FAILED|UNFINISHED) (?P<phase>[a-z][\w:-]*) in (?P<took>[\d.]+ (?:s|min|h)[^:]*)(?:: (?P<text>.*))?$"
)
_OUTSIDE: Final = re.compile(r"FAILED outside the tests: (?P<what>.*)$")
_ENDED_WITH: Final = re.compile(r"\S.* ended with exit code (?P<code>\d+): ")
_INDENT: Final = "    "
# the end of a test's log below its evidence
_LOG_END: Final = ("    last lines of ", "    | ")


@dataclass(slots=True, kw_only=True)
class OwnResult:
    """The last word on a test: its status, verdict and evidence, and the cases that failed; `failed` also where it never ended."""

    file: str
    status: Status
    verdict: Verdict
    evidence: list[str]
    cases: list[str]

    @property
    def failed(self) -> bool:
        """Whether it is run again by `--failed`."""
        return self.status in (Status.FAILED, Status.CANCELLED) and self.verdict is not Verdict.CANCELLED


@dataclass(slots=True, kw_only=True)
class Around:
    """What happened around the tests: each phase in words, and what failed outside of them with its evidence.

    `verdict` is that of the run's exit code, None when the log does not have its end.
    """

    phases: dict[str, str]
    failed: str = ""
    evidence: tuple[str, ...] = ()
    verdict: Verdict | None = None


def read_around(lines: Iterable[LogLine]) -> Around:
    """The phases of a run and what stopped it."""
    found = Around(phases={})
    in_failure = False
    for line in lines:
        text = line.text
        if in_failure and text.startswith(_INDENT):
            found.evidence = (*found.evidence, text.strip())
            continue
        in_failure = False
        if phase := _PHASE.match(text):
            more = f": {phase['text']}" if phase["text"] else ""
            found.phases[phase["phase"]] = f"{phase['word']} in {phase['took']}{more}"
        elif outside := _OUTSIDE.match(text):
            found.failed, in_failure = outside["what"], True
        elif ended := _ENDED_WITH.match(text):
            found.verdict = Verdict.of_phase(int(ended["code"]))
    return found


def read_results(lines: Iterable[LogLine]) -> list[OwnResult]:
    """How each test ended, in the order of the log; the last word counts."""
    found: dict[str, OwnResult] = {}
    open_result: OwnResult | None = None
    cases: list[str] = []
    messages: list[str] = []
    in_case = False
    for line in lines:
        if line.text.startswith(_INDENT) and (open_result is not None or in_case):
            if open_result is not None and not line.text.startswith(_LOG_END):
                open_result.evidence.append(line.text.strip())
            elif in_case:
                # its first line is the message, which the evidence does not repeat
                messages.append(f"{cases[-1]}: {line.text.strip()}")
                in_case = False
            continue
        open_result, in_case = None, False
        if ended := _ENDED.match(line.text):
            file = ended["test"]
            status = _STATUSES.get(ended["word"], Status.CANCELLED)
            fallback = Verdict.UNKNOWN if ended["word"] == _UNFINISHED else Verdict.PASSED
            verdict = Verdict.of_name(ended["verdict"]) if ended["verdict"] else fallback
            if status is Status.CANCELLED and ended["word"] != _UNFINISHED:
                verdict = Verdict.CANCELLED
            open_result = OwnResult(file=file, status=status, verdict=verdict, evidence=messages, cases=cases)
            found[file], cases, messages = open_result, [], []
        elif case := _CASE.match(line.text):
            cases.append(f"{case['place']}::{case['case']}")
            in_case = True
    return list(found.values())
