"""The verdict of an attempt: by its process, its cases, the kernel and the log, in this order; and whether it gates."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from .judge import Ended, Facts, FailedCase, Judgement, Rule, failed
from .judge.judge import judge_log
from .judge.symptom import symptom_of
from .judge.tracebacks import ProcessEnd
from .machine import MachineFacts
from .measures import Unmeasured
from .proof import Excuse
from .roles.meeting import Failure
from .spec import Verdict

__all__ = ["AttemptFacts", "classify", "covering", "gates", "symptom"]

# pytest's exit codes: all is well, no case matches the selection, nothing was collected. A module that skips
# itself ends with one of the last two.
PYTEST_OK, PYTEST_USAGE, PYTEST_NO_TESTS = 0, 4, 5
PYTEST_CASES_FAILED, PYTEST_INTERRUPTED = 1, 2
# the exit code of a process that SIGKILL ended, as a shell has it
KILLED = 137
# more processes than these are not worth a line each
HOLDERS_NAMED = 3
# verdicts for which it matters that the kernel could not be asked
ASKS_THE_KERNEL = ("device", "unknown")
# outcomes of cases that failed with an excuse; the first of them decides
EXCUSED = ("needs-gpu", "not-judged")

# how an attempt without a failure ended, by the outcomes of its cases; the first that has one decides
_OUTCOMES = (("passed", ("passed",)), ("xfailed", ("xfailed", "xpassed")), ("skipped", ("skipped",)))


@dataclass(slots=True, kw_only=True)
class AttemptFacts:
    """What is known about an attempt; gathered while it runs, complete when it has ended.

    `exit_code` and `signal` are the process's own end; `session_code` is pytest's exit code, None when pytest did
    not finish; `stopped` and `deadline` are why the agent ended the attempt, None when it ended by itself; `not_started` says why there was no process. `unmeasured` are the
    rows that were to be judged and have no value, `problems` the node ids that pytest did not find. `ended` is the process that
    an exception ended first where the test process left no failed case, `serves` whether the test started a server with a log of
    its own, `excuse` what excuses that, `excuses` are the reasons of excused cases.
    `process` is what ended, in words; `role` the server behind the test that failed first. `earlier` are the attempts of the run that ended before it. `hang` says where a test was at its deadline, its own line first. `kernel_log`,
    `holders` and `unknown` are the machine's, see `MachineFacts`.
    """

    path: str
    kind: str
    test: str = ""
    process: str = "the test process"
    gpu_ids: tuple[str, ...] = ()
    earlier: tuple[Ended, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    session_code: int | None = None
    stopped: str | None = None
    not_started: tuple[str, ...] = ()
    role: Failure | None = None
    deadline: str | None = None
    cases: Counter[str] = field(default_factory=Counter)
    failed: list[FailedCase] = field(default_factory=list)
    unmeasured: tuple[Unmeasured, ...] = ()
    problems: tuple[str, ...] = ()
    skip_reasons: list[str] = field(default_factory=list)
    running: str = ""
    oom_kills: int = 0
    serves: bool = False
    log_error: str | None = None
    ended: ProcessEnd | None = None
    excuse: Excuse | None = None
    excuses: list[str] = field(default_factory=list)
    hang: tuple[str, ...] = ()
    kernel_log: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def take_machine(self, machine: MachineFacts) -> None:
        """What the machine did meanwhile; called when the end of the process is known."""
        self.oom_kills = machine.kills_of(was_killed=self.signal == "SIGKILL" or self.exit_code == KILLED)
        self.kernel_log, self.holders, self.unknown = machine.kernel_log, machine.holders, machine.unknown

    def end(self) -> str:
        """How the process ended, for people."""
        end = f"was ended by {self.signal}" if self.signal else f"ended with exit code {self.exit_code}"
        return f"{self.process} {end}" + (f"; running: {self.running}" if self.running else "")


def classify(
    facts: AttemptFacts, verdicts: Sequence[Verdict], rules: Sequence[Rule], read_log: Callable[[], str]
) -> Judgement:
    """The verdict of one attempt; `read_log` is called only when the log can change it."""
    done = facts.cases.total()
    causes = [row.id for row in verdicts if row.cause]
    if facts.stopped is not None:
        during = f"; running: {facts.running}" if facts.running else ""
        return Judgement(outcome="cancelled", verdict="cancelled", evidence=(f"{facts.stopped}{during}",))
    if facts.not_started:
        return failed("infra", *facts.not_started)
    if facts.role is not None:
        role, evidence = facts.role, facts.role.evidence
        first = f"{role.role} failed: {evidence[0] if evidence else role.verdict}"
        return Judgement(
            outcome="failed",
            verdict=role.verdict,
            evidence=(first, *evidence[1:]),
            rule=role.rule,
            symptom=role.symptom,
        )
    if facts.deadline is not None:
        verdict = "timeout-while-passing" if done and not facts.failed else "timeout"
        during = f"; running: {facts.running}" if facts.running else ""
        ended = f"{facts.deadline}; cases ended: {done}, failed: {len(facts.failed)}{during}"
        return failed(verdict, *facts.hang[:1], ended, *facts.hang[1:])
    if facts.failed:
        return _judge_cases(facts, causes, rules, read_log)
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
    if not done and facts.problems and pytest_code == PYTEST_USAGE:
        return failed("usage", *facts.problems)
    if not done and pytest_code in (PYTEST_OK, PYTEST_NO_TESTS):
        return failed("product", f"pytest collected no test cases in {facts.path}")
    only_skipped = facts.cases["skipped"] == done > 0
    skipped_itself = only_skipped and pytest_code in (PYTEST_USAGE, PYTEST_NO_TESTS)
    if skipped_itself or pytest_code == PYTEST_OK or (facts.kind == "script" and facts.exit_code == 0):
        missing = [each.text() for each in facts.unmeasured if not each.held]
        if missing:
            return failed("product", *missing)
        outcome = _outcome(facts)
        return Judgement(
            outcome=outcome, verdict="passed", evidence=(facts.log_error,) if facts.log_error else ()
        )
    return _judge_end(facts, causes, rules, read_log())


def _outcome(facts: AttemptFacts) -> str:
    """Of an attempt without a failure: what is expected to fail is no pass, whatever it does."""
    if facts.kind == "script" and not facts.cases:
        return "passed"
    return next(outcome for outcome, names in _OUTCOMES if any(facts.cases[name] for name in names))


def _judged(facts: AttemptFacts, log: str, rules: Sequence[Rule], causes: Sequence[str]) -> Judgement:
    known = Facts(
        log=log,
        exit_code=facts.exit_code,
        signal=facts.signal,
        failed=tuple(facts.failed),
        ended=facts.ended,
        oom_kills=facts.oom_kills,
        serves=facts.serves,
        kernel_log="\n".join(facts.kernel_log),
        holders=facts.holders,
        test=facts.test,
        gpu_ids=facts.gpu_ids,
        earlier=facts.earlier,
    )
    judgement = judge_log(known, rules, causes)
    first, others = judgement.evidence[:1], judgement.evidence[1:]
    if judgement.verdict == "oom":
        return replace(judgement, evidence=(*first, *facts.holders[:HOLDERS_NAMED], *others))
    if judgement.verdict in ASKS_THE_KERNEL:
        return replace(judgement, evidence=(*judgement.evidence, *facts.unknown))
    return judgement


def _judge_cases(
    facts: AttemptFacts, causes: Sequence[str], rules: Sequence[Rule], read_log: Callable[[], str]
) -> Judgement:
    """Some case failed: the log is read when one of them does not say why itself."""
    own = all(case.verdict or case.assertion for case in facts.failed)
    judgement = _judged(facts, "" if own else read_log(), rules, causes)
    if facts.log_error is None or own or judgement.rule is not None:
        return judgement
    if any(case.chains for case in facts.failed):  # they say themselves why they failed
        return replace(judgement, evidence=(*judgement.evidence, facts.log_error))
    return failed("infra", facts.log_error, *judgement.evidence)


def _judge_end(facts: AttemptFacts, causes: Sequence[str], rules: Sequence[Rule], log: str) -> Judgement:
    """No case failed, but the process did not end with success."""
    judgement = _judged(facts, log, rules, causes)
    unexplained = judgement.verdict in ("product", "unknown") and judgement.rule is None
    if facts.log_error and unexplained:
        return failed("infra", facts.log_error, facts.end())
    if facts.signal is not None and judgement.verdict == "unknown":
        return failed("unknown", facts.end(), *judgement.evidence)
    if facts.signal is not None or facts.ended is not None or not unexplained:
        return replace(judgement, evidence=(*judgement.evidence, facts.end()))
    if facts.kind == "pytest" and facts.session_code != facts.exit_code:
        session = "had not ended" if facts.session_code is None else f"had ended with {facts.session_code}"
        return failed("unknown", facts.end(), f"pytest's session {session}", *judgement.evidence)
    if judgement.verdict == "unknown":
        return failed("product", facts.end(), *judgement.evidence)
    return replace(judgement, evidence=(*judgement.evidence, facts.end()))


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
    if judgement.outcome not in ("failed", "cancelled") or rule == "never":
        return False
    if rule == "always":
        return True
    if any("::" not in row for row in quarantine):
        return False
    # a bound that a case hid fails it, and pytest does not know
    finished = facts.exit_code == PYTEST_CASES_FAILED or facts.exit_code == facts.session_code == PYTEST_OK
    if rule == "unless-file-quarantined" or not finished or not facts.failed:
        return True
    if any(not each.held for each in facts.unmeasured):
        return True
    return not all(covering(quarantine, case.case) for case in facts.failed)


def symptom(judgement: Judgement) -> str:
    """A short line that is the same when the same failure comes again; empty where nothing failed."""
    if judgement.outcome != "failed" or judgement.symptom:
        return judgement.symptom
    return symptom_of(None, judgement.evidence[0] if judgement.evidence else judgement.verdict)
