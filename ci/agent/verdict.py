"""The verdict of an attempt: by its process, its cases, the kernel and the log, in this order; and whether it gates."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .judge import FailedCase, Judgement, Rule, failed
from .judge.tracebacks import ESCAPES, ProcessEnd
from .proof import Excuse
from .spec import Verdict

__all__ = ["AttemptFacts", "classify", "covering", "gates"]

# pytest's exit codes: all is well, no case matches the selection, nothing was collected. A module that skips
# itself ends with one of the last two.
PYTEST_OK, PYTEST_USAGE, PYTEST_NO_TESTS = 0, 4, 5
PYTEST_CASES_FAILED, PYTEST_INTERRUPTED = 1, 2
# outcomes of cases that failed with an excuse; the first of them decides
EXCUSED = ("needs-gpu", "not-judged")

_KILLED = re.compile(r"SIGKILL|code (?:-9|137)\b|return_code=(?:-9|137)\b")


@dataclass(slots=True, kw_only=True)
class AttemptFacts:
    """What is known about an attempt; gathered while it runs, complete when it has ended.

    `exit_code` and `signal` are the process's own end; `session_code` is pytest's exit code, None when pytest did
    not finish; `stopped` and `deadline` are why the agent ended the attempt, None when it ended by itself. `asked` are the
    metrics that it has to record, `metrics` those that it has. `ended` is the process that an exception ended first where the
    test process left no failed case, `excuse` what excuses that, `excuses` are the reasons of excused cases.
    """

    path: str
    kind: str
    asked: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    session_code: int | None = None
    stopped: str | None = None
    deadline: str | None = None
    cases: Counter[str] = field(default_factory=Counter)
    failed: list[FailedCase] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    skip_reasons: list[str] = field(default_factory=list)
    running: str = ""
    oom_kills: int = 0
    log_error: str | None = None
    ended: ProcessEnd | None = None
    excuse: Excuse | None = None
    excuses: list[str] = field(default_factory=list)

    def end(self) -> str:
        """How the process ended, for people."""
        end = f"was ended by {self.signal}" if self.signal else f"ended with exit code {self.exit_code}"
        return f"the test process {end}" + (f"; running: {self.running}" if self.running else "")


def classify(
    facts: AttemptFacts, verdicts: Sequence[Verdict], rules: Sequence[Rule], read_log: Callable[[], str]
) -> Judgement:
    """The verdict of one attempt; `read_log` is called only when the log can change it."""
    done = facts.cases.total()
    if facts.stopped is not None:
        return failed("cancelled", f"stopped: {facts.stopped}")
    if facts.deadline is not None:
        verdict = "timeout-while-passing" if done and not facts.failed else "timeout"
        during = f"; running: {facts.running}" if facts.running else ""
        return failed(verdict, f"{facts.deadline}; cases ended: {done}, failed: {len(facts.failed)}{during}")
    if facts.failed:
        return _judge_cases(facts, [row.id for row in verdicts if row.cause], rules, read_log)
    excused = next((outcome for outcome in EXCUSED if facts.cases[outcome]), None)
    if excused is not None and facts.exit_code == facts.session_code in (
        PYTEST_CASES_FAILED,
        PYTEST_INTERRUPTED,
    ):
        return Judgement(outcome=excused, verdict="passed", evidence=tuple(facts.excuses))
    if facts.excuse is not None and (facts.exit_code or facts.signal) and not facts.oom_kills:
        lines = (*facts.excuses, facts.end(), facts.excuse.reason)
        return Judgement(outcome=facts.excuse.outcome, verdict="passed", evidence=lines)
    pytest_code = facts.exit_code if facts.session_code == facts.exit_code else None
    if not done and pytest_code in (PYTEST_OK, PYTEST_NO_TESTS):
        return failed("product", f"pytest collected no test cases in {facts.path}")
    only_skipped = facts.cases["skipped"] == done > 0
    skipped_itself = only_skipped and pytest_code in (PYTEST_USAGE, PYTEST_NO_TESTS)
    if skipped_itself or pytest_code == PYTEST_OK or (facts.kind == "script" and facts.exit_code == 0):
        silent = [metric for metric in facts.asked if metric not in facts.metrics]
        # a case that was skipped may be the one that would have measured
        if silent and facts.cases.keys() <= {"passed"}:
            return failed("product", *(_unmeasured(metric) for metric in silent))
        outcome = "skipped" if only_skipped else "passed"
        return Judgement(
            outcome=outcome, verdict="passed", evidence=(facts.log_error,) if facts.log_error else ()
        )
    return _judge_end(facts, rules, read_log())


def _unmeasured(metric: str) -> str:
    return f"no metric {metric!r} was recorded, and ci/catalog/bounds.toml has a row for it; next: measure it or remove the row"


def _ends(ends: Iterable[ProcessEnd | None], texts: Iterable[str]) -> tuple[str, ...]:
    """The processes that ended first, and how SGLang then ends the others, where the texts are about that."""
    found = [end for end in ends if end is not None]
    lines = dict.fromkeys(end.text() for end in found)
    # one that was killed itself may have been the kernel's victim
    if any(end.errors for end in found) and any(_KILLED.search(text) for text in texts):
        lines["SGLang then ends its own processes with SIGKILL (-9, 137): it is no lack of memory"] = None
    return tuple(lines)


def _judge_cases(
    facts: AttemptFacts, causes: Sequence[str], rules: Sequence[Rule], read_log: Callable[[], str]
) -> Judgement:
    """Some case failed: each has its own verdict, or is the product's by an assertion, or the log explains it."""
    own = {case: case.verdict or ("product" if case.assertion else None) for case in facts.failed}
    explained: Judgement | None = None
    if None in own.values() and "bounds" not in own.values():
        ends = [case.ended.text() for case in own if case.ended is not None]
        explained = _explain(facts, rules, "\n".join([read_log(), *ends]))
    otherwise = explained.verdict if explained else "product"
    # an unknown verdict counts as the worst
    verdicts = {case: verdict if verdict in causes else "product" for case, verdict in own.items() if verdict}
    worst = min([*verdicts.values(), *([otherwise] if None in own.values() else [])], key=causes.index)
    lines = _by_message([case for case in own if verdicts.get(case, otherwise) == worst])
    lines = (*_ends((case.ended for case in own), (case.message for case in own)), *lines)
    if explained is None or explained.verdict != worst:
        return failed(worst, *lines)
    return failed(worst, *explained.evidence, *lines, rule=explained.rule)


def _by_message(cases: Iterable[FailedCase]) -> tuple[str, ...]:
    """A line for each message: a server that ends takes every case of a file along."""
    names: dict[str, list[str]] = {}
    for case in cases:
        names.setdefault(case.message, []).append(case.case)
    return tuple(
        f"{first}{f' and {len(others)} more' if others else ''}: {message}"
        for message, (first, *others) in names.items()
    )


def _judge_end(facts: AttemptFacts, rules: Sequence[Rule], log: str) -> Judgement:
    """No case failed, but the process did not end with success."""
    ended = facts.ended.text() if facts.ended is not None else ""
    explained = _explain(facts, rules, f"{log}\n{ended}")
    if explained is not None:
        return failed(explained.verdict, facts.end(), *explained.evidence, rule=explained.rule)
    if facts.ended is not None:
        return failed("product", *_ends((facts.ended,), (facts.end(),)), facts.end())
    if facts.signal == "SIGKILL":
        return failed("unknown", facts.end(), "the agent did not send it, and the kernel counted no OOM kill")
    last = _clean(log[-4096:])[-3:]
    if facts.kind == "pytest" and facts.signal is None and facts.session_code != facts.exit_code:
        session = "had not ended" if facts.session_code is None else f"had ended with {facts.session_code}"
        return failed("unknown", facts.end(), f"pytest's session {session}", *last)
    return failed("product", facts.end(), *last)


def _explain(facts: AttemptFacts, rules: Sequence[Rule], log: str) -> Judgement | None:
    """What machine, network or kernel did during this attempt; the first rule in the order of the catalog wins."""
    killed = f"the kernel counted {facts.oom_kills} OOM kills during this attempt"
    if facts.oom_kills and facts.signal == "SIGKILL":
        return failed("oom", killed)
    log = ESCAPES.sub("", log)  # a colour in front of a word would hide where the word begins
    for rule in rules:
        match = rule.pattern.search(log)
        if match is not None:
            start, end = log.rfind("\n", 0, match.start()) + 1, log.find("\n", match.end())
            lines = _clean(log[start : end if end >= 0 else len(log)])
            why = rule.why
            for name, value in match.groupdict().items():
                why = why.replace(f"{{{name}}}", value or "")
            return failed(rule.verdict, *lines, f"rule {rule.id}: {why}", rule=rule.id)
    if facts.oom_kills:
        return failed("oom", killed)
    return failed("infra", facts.log_error) if facts.log_error else None


def covering(quarantine: Iterable[str], node: str) -> list[str]:
    """The rows that cover a case: a row is about a node id, or a file, with all that is in it."""
    return [row for row in quarantine if node == row or node.startswith((f"{row}[", f"{row}::"))]


def gates(
    quarantine: Sequence[str], facts: AttemptFacts, judgement: Judgement, verdicts: Iterable[Verdict]
) -> bool:
    """Whether a failed attempt counts although these rows, for its file or for cases of it, hold.

    A row for the file covers whatever happens in it; rows for cases cover an attempt in which pytest finished
    and nothing else failed. The verdict's row in the table can restrict that.
    """
    rule = next((row.gates for row in verdicts if row.id == judgement.verdict), "always")
    if judgement.outcome != "failed" or rule == "never":
        return False
    if rule == "always":
        return True
    if any("::" not in row for row in quarantine):
        return False
    if rule == "unless-file-quarantined" or facts.exit_code != PYTEST_CASES_FAILED or not facts.failed:
        return True
    return not all(covering(quarantine, case.case) for case in facts.failed)


def _clean(text: str) -> tuple[str, ...]:
    lines = (ESCAPES.sub("", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)
