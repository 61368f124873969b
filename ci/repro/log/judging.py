"""The evidence judge over parts of a log: a test's attempt, or a step that ended a job."""

import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from ci.agent.judge import Facts, Judgement, Rule, failed
from ci.agent.judge.judge import judge_log
from ci.catalog.verdict_rules import VerdictRule
from ci.catalog.verdicts import CAUSES, Verdict
from ci.repro.log.text import LogLine
from ci.repro.log.values import Attempt, FileEnd, JobLog, Step

__all__ = ["judge_attempt", "judge_piece", "judge_rules", "judge_step", "step_name"]

# lines of a part that are judged: its beginning, in which a server starts, and its end
_MOST_LINES: Final = 200_000
_HEAD_LINES: Final = 20_000
# what a server prints for each batch and each request that is well; most of a long log
_CHATTER: Final = ('HTTP/1.1" 200', "Decode batch", "Prefill batch")
_SCRIPT: Final = re.compile(r"([\w.-]+\.(?:sh|py))\b")
_PASSED: Final = re.compile(r"(?:\.\.\. ok$|\bPASSED\b)")
# the runner's last word on a step that something else ended
_ENDS: Final = (
    (re.compile(r"The action .* has timed out after"), Verdict.TIMEOUT),
    (re.compile(r"The operation was canceled|The job was canceled"), Verdict.CANCELLED),
    (re.compile(r"[Ll]ost communication|shutdown signal|runner .*(?:stopped|lost)"), Verdict.INFRA),
)


def judge_attempt(job: JobLog, attempt: Attempt, rows: Sequence[VerdictRule], error: str = "") -> Judgement:
    """Why an attempt failed; `error` is the runner's last word on its step."""
    text = _text(job, attempt.begin, attempt.end)
    if attempt.ended is FileEnd.TIMEOUT:
        passing = _PASSED.search(text) is not None and not attempt.cases
        verdict = Verdict.TIMEOUT_WHILE_PASSING if passing else Verdict.TIMEOUT
        return _without_error(verdict, attempt, attempt.because, *_newest(text))
    if attempt.ended is FileEnd.UNFINISHED:
        for pattern, verdict in _ENDS:
            if pattern.search(error):
                return _without_error(verdict, attempt, error, *_newest(text, error))
        if not error:
            return _without_error(Verdict.UNKNOWN, attempt, "the log ends while it runs", *_newest(text))
    code = attempt.exit_code
    facts = Facts(log=text, exit_code=code, signal=_signal(code))
    judgement = judge_log(facts, judge_rules(tuple(rows)), tuple(CAUSES))
    if judgement.verdict == Verdict.UNKNOWN and code is not None and code > 0 and attempt.begin:
        # a test process that ended by itself with an error: the code under test
        return replace(judgement, verdict=Verdict.PRODUCT, evidence=(attempt.because, *judgement.evidence))
    return judgement


def _without_error(verdict: Verdict, attempt: Attempt, *evidence: str) -> Judgement:
    """An attempt that something else ended: its symptom is how, and which file."""
    symptom = f"{verdict.row.words} @ {attempt.file.rpartition('/')[2]}"
    return replace(failed(verdict, *evidence), symptom=symptom)


def judge_step(job: JobLog, step: Step, rows: Sequence[VerdictRule]) -> Judgement:
    """Why a step failed."""
    for pattern, verdict in _ENDS:
        if pattern.search(step.error):
            return failed(verdict, step.error)
    facts = Facts(log=_text(job, step.begin - 1, step.end), phase=step_name(step), exit_code=1)
    judgement = judge_log(facts, judge_rules(tuple(rows)), tuple(CAUSES))
    if judgement.rule is None and not judgement.evidence:
        return failed(judgement.verdict, step.error)
    return judgement


def judge_piece(job: JobLog, rows: Sequence[VerdictRule]) -> Judgement:
    """What a piece of a log says by itself: nothing of it tells which test it is, or that one failed."""
    facts = Facts(log=_text(job, 0, len(job.lines)), exit_code=1)
    return judge_log(facts, judge_rules(tuple(rows)), tuple(CAUSES))


def step_name(step: Step) -> str:
    """`amd_ci_start_container.sh` for a step that runs it, else the step's first line."""
    found = _SCRIPT.search(step.script)
    return found[1] if found is not None else step.name


def _text(job: JobLog, begin: int, end: int) -> str:
    """The lines from an index on, before another; of very many the first and the last ones."""
    lines: Sequence[LogLine] = job.lines[begin:end]
    if len(lines) > _HEAD_LINES:
        lines = [line for line in lines if not any(word in line.text for word in _CHATTER)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_HEAD_LINES], *lines[_HEAD_LINES - _MOST_LINES :]]
    return "\n".join(line.text for line in lines)


def _newest(text: str, error: str = "") -> list[str]:
    """The last line of the output, which says what was going on; not the runner's own `error`."""
    lines = (line.strip() for line in reversed(text[-4000:].splitlines()))
    line = next((line for line in lines if line and line != error), "")
    return [f"last line: {line}"] if line else []


def _signal(code: int | None) -> str | None:
    if code is None or code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return None


@lru_cache(maxsize=4)
def judge_rules(rows: tuple[VerdictRule, ...]) -> tuple[Rule, ...]:
    """The catalog's rows as the judge takes them."""
    return tuple(
        Rule(
            id=row.id,
            verdict=row.verdict,
            about=tuple(row.about),
            pattern=re.compile(row.pattern, re.MULTILINE),
            why=row.why,
            only_if=row.only_if,
        )
        for row in rows
    )
