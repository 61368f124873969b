"""The verdict over a failure, by its evidence: cases first, then what ended a process, then what was printed."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .cases import is_same_case
from .chains import is_of_a_server, is_programming, is_stand_in, links, says_peer_lost
from .conditions import CONDITIONS, Context
from .evidence import End, Message, Reading
from .reading import read_log
from .repetition import ABORTED, weighed
from .symptom import symptom_of_failure
from .tracebacks import Frame, ProcessEnd, RaisedError
from .values import Facts, FailedCase, Judgement, Rule, failed
from .wording import by_message, error_of_message, killed_by_sglang, line_of, unquoted

__all__ = ["judge_log"]

PRODUCT, UNKNOWN, HARDWARE, OOM = "product", "unknown", "hardware", "oom"
CANCELLED = "cancelled"
# lines of a kind that are shown, and that are kept at all
_SHOWN, _LINES_KEPT = 3, 20
# how a shell names a process's end by a signal
_KILLED = ("Killed", "SIGKILL")
_BY_SIGNAL = (
    *_KILLED,
    "Aborted",
    "SIGABRT",
    "Bus error",
    "SIGBUS",
    "Segmentation fault",
    "SIGSEGV",
    "Segfault",
)
_OF_RCCL = re.compile(r"\b[NR]CCL error\b|\bnccl\w+Error\b")
_FROM_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
# an error about the GPUs, which a fault that the kernel reports explains
_OF_GPU = re.compile(
    r"HIP error|hipError|\b[NR]CCL\b|HSA_STATUS|invalid device ordinal|\bgpu_id=\d+ is not available|\bonly \d+ GPUs?\b"
)


def judge_log(facts: Facts, rules: Sequence[Rule], causes: Sequence[str]) -> Judgement:
    """Why something failed, which is known to have failed.

    Args:
        facts: a log, and what else is known.
        rules: the rows of `verdicts.toml`, in order.
        causes: the verdicts that a failed case or a rule may give, the worst for the code under test first.
    """
    return _Judge(facts, rules, causes).judge_with_symptom()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was found about one failure; `evidence` begins with the line that says most."""

    verdict: str
    evidence: tuple[str, ...]
    rule: Rule | None = None


class _Judge:
    """One failure under judgement."""

    def __init__(self, facts: Facts, rules: Sequence[Rule], causes: Sequence[str]) -> None:
        self._facts = facts
        self._rules = rules
        self._causes = causes
        self._log: Reading = read_log(facts.log)
        kernel = (line for line in facts.kernel_log.splitlines() if line.strip())
        self._kernel = [*(message.text for message in self._log.kernel), *kernel]
        self._ends: list[End] = self._log.ends

    def judge_with_symptom(self) -> Judgement:
        judgement = self.judge()
        judgement = replace(judgement, symptom=symptom_of_failure(self._facts, self._log, judgement))
        return weighed(self._facts, judgement) if judgement.verdict == ABORTED else judgement

    def judge(self) -> Judgement:
        """The worst of what the failures are, for the code under test."""
        cases = self._facts.failed or tuple(self._log.cases)
        if cases:
            found = [(case, self._case(case)) for case in cases]
            worst = min((each for _, each in found), key=lambda each: self._rank(each.verdict))
            same = [
                (case, each)
                for case, each in found
                if (each.verdict, each.rule) == (worst.verdict, worst.rule)
            ]
            messages = by_message([case for case, _ in same])[:_LINES_KEPT]
            lines = [*dict.fromkeys(line for _, each in same for line in each.evidence)][:_LINES_KEPT]
            if worst.rule is None:
                lines = [line for line in lines if not any(line in message for message in messages)]
            evidence = (*lines, *messages)
            return self._judgement(replace(worst, evidence=evidence))
        return self._judgement(
            self._process()
            or self._was_killed()
            or self._printed()
            or self._was_ended()
            or self._hung()
            or self._nothing()
        )

    def _rank(self, verdict: str) -> int:
        return self._causes.index(verdict) if verdict in self._causes else len(self._causes)

    @staticmethod
    def _judgement(found: _Found) -> Judgement:
        rule = found.rule
        if rule is None:
            return failed(found.verdict, *found.evidence)
        first, *others = found.evidence
        return failed(found.verdict, first, f"rule {rule.id}: {rule.why}", *others, rule=rule.id)

    # cases

    def _case(self, case: FailedCase) -> _Found:
        own = case.verdict or (PRODUCT if case.assertion else "")
        if own:
            return _Found(verdict=own if own in self._causes else PRODUCT, evidence=())
        found = [self._chain(chain, case) for chain in self._chains_of(case)]
        return min(found, key=lambda each: self._rank(each.verdict))

    def _chain(self, chain: Sequence[RaisedError], case: FailedCase) -> _Found:
        """One error that failed a case: what it says, or what ended the server that it is about."""
        found = self._errors(chain)
        if found is not None and (found.verdict != PRODUCT or is_programming(chain)):
            return found
        of_a_server = is_of_a_server(chain)
        if found is not None and not of_a_server:
            return found
        if of_a_server:
            ended = case.ended or self._facts.ended
            gpu = self._gpu() if ended is not None and _is_abort(ended) else None
            if gpu is not None and ended is not None:
                return self._with(gpu[1], ended.text())
            root = self._end(ended) if ended is not None else self._process(besides=chain)
            if root is not None:
                return self._with(root, *killed_by_sglang(ended, case.message))
        if self._facts.oom_kills and case.ended is None:
            return self._killed()
        if of_a_server and case.ended is None and (kernel := self._about_kernel()) is not None:
            return kernel
        return found or _Found(verdict=PRODUCT, evidence=())

    def _chains_of(self, case: FailedCase) -> Sequence[Sequence[RaisedError]]:
        """The errors of a case: by its event, else as its runner printed them, else out of its message."""
        if case.chains:
            return case.chains
        for printed in self._log.cases:
            if is_same_case(printed.case, case.case):
                named = [
                    chain for chain in printed.chains if chain[0].raises.rpartition(".")[2] in case.message
                ]
                if named:
                    return named
        return ((error_of_message(case.message),),)

    @staticmethod
    def _with(found: _Found, *lines: str) -> _Found:
        return replace(found, evidence=(*found.evidence, *lines))

    # processes

    def _process(self, besides: Sequence[RaisedError] = ()) -> _Found | None:
        """What ended the process that ended first; None where no process is known to have ended by a fault."""
        facts = self._facts
        if facts.ended is not None and not besides:
            return self._end(facts.ended)
        # a server that was started again after it, and then answered, has survived it
        ends = [end for end in self._ends if end.line >= self._log.served_since]
        roots = [end for end in ends if not self._follows(end, besides)]
        gpu = self._gpu()
        if gpu is not None and (not roots or roots[0].aborted or gpu[0] <= roots[0].line):
            return gpu[1]
        if not roots:
            follower = next((end for end in ends if end.process.errors[:1] != tuple(besides[:1])), None)
            if follower is not None and not besides and says_peer_lost(follower.process.errors):
                line = "the process that ended first left no word"
                return _Found(verdict=UNKNOWN, evidence=(follower.process.text(), line))
            return self._end(follower.process) if follower is not None else None
        first, last = self._end(roots[0].process), self._end(roots[-1].process)
        # a process that ended before, and that was survived, excuses nothing
        return min((first, last), key=lambda each: self._rank(each.verdict))

    @staticmethod
    def _follows(end: End, besides: Sequence[RaisedError]) -> bool:
        """Whether a process ended because another one did."""
        errors = end.process.errors
        return bool(errors) and (is_of_a_server(errors) or errors[0] in besides)

    def _end(self, process: ProcessEnd) -> _Found:
        if not process.errors:
            return self._signalled(process)
        found = self._errors(process.errors, process.who)
        if found is not None:
            return found
        error = process.errors[0]
        if error.raises in _BY_SIGNAL and not error.message:
            return self._by_signal(process)
        return self._about_end(process)

    def _signalled(self, process: ProcessEnd) -> _Found:
        """A process that ended without an exception."""
        if process.exit_code in (-9, 137) and self._facts.oom_kills:
            return self._killed(process)
        return self._by_signal(process)

    def _by_signal(self, process: ProcessEnd) -> _Found:
        """A process that a signal ended: the kernel may say why."""
        kernel = self._about_kernel()
        if kernel is not None:
            return self._with(kernel, process.text())
        if process.errors and process.errors[0].raises in _KILLED:
            return self._killed(process)
        return self._about_end(process)

    def _about_end(self, process: ProcessEnd) -> _Found:
        rule = self._rule("end", process.text())
        if rule is not None:
            return self._by(rule, (process.text(),))
        return _Found(verdict=PRODUCT, evidence=(process.text(),))

    def _was_killed(self) -> _Found | None:
        """The test process, by SIGKILL or with an OOM kill beside it."""
        facts = self._facts
        killed = facts.signal == "SIGKILL" or (facts.oom_kills and facts.exit_code in (None, 137, -9))
        return self._killed() if killed else None

    def _was_ended(self) -> _Found | None:
        """The test process, by a signal of its own."""
        if self._facts.signal is None:
            return None
        if self._facts.signal in _FROM_OUTSIDE:
            line = f"the test process was ended by {self._facts.signal}, which something else sent"
            return _Found(verdict=UNKNOWN, evidence=(line,))
        error = RaisedError(raises=self._facts.signal, message="")
        return self._by_signal(ProcessEnd(who="the test process", errors=(error,)))

    def _killed(self, process: ProcessEnd | None = None) -> _Found:
        """SIGKILL from elsewhere: memory, when the kernel counted it."""
        who = (process.text(),) if process is not None else ()
        kernel = self._about_kernel()
        if kernel is not None:
            return self._with(kernel, *who)
        if self._facts.oom_kills:
            count = f"the kernel counted {self._facts.oom_kills} OOM kills during this attempt"
            return _Found(verdict=OOM, evidence=(count, *who))
        return _Found(verdict=UNKNOWN, evidence=(*who, "no OOM kill is known that explains the SIGKILL"))

    # what is printed

    def _printed(self) -> _Found | None:
        """Of a log without cases and without a process that is known to have ended: its errors, and the messages of tools."""
        log = self._log
        found: list[tuple[int, _Found]] = []
        server: _Found | None = None
        for line, chain in log.printed:
            judged = self._errors(chain)
            plain = _Found(verdict=PRODUCT, evidence=(chain[0].text(),))
            if is_of_a_server(chain) and (judged is None or judged.verdict == PRODUCT):
                server = replace(plain, verdict=UNKNOWN) if says_peer_lost(chain) else plain
                continue
            if judged is not None and judged.verdict == PRODUCT and judged.rule is None:
                return judged  # one that only code can raise: what else was printed excuses nothing
            found.append((line, judged or plain))
        for message in log.tools:
            rule = self._rule("setup", message.text)
            if rule is not None:
                found.append((message.line, self._by(rule, (message.text,))))
        if (
            log.step_failed is not None
        ):  # the steps after it clean up, and fail where there is nothing to clean
            found = [each for each in found if each[0] <= log.step_failed] or found
        # what comes to its end because of something is cancelled too
        found = [each for each in found if each[1].verdict != CANCELLED] or found
        if found:
            found.sort(key=lambda each: each[0])
            last = found[-1][1]
            others = (at for at, (_, each) in enumerate(reversed(found)) if each.rule != last.rule)
            return found[len(found) - next(others, len(found))][1]
        return self._about_kernel() or server

    def _hung(self) -> _Found | None:
        """Nothing but the stacks of a test that went on for too long."""
        hung = self._log.hung
        return _Found(verdict=PRODUCT, evidence=(hung.text(),)) if hung is not None else None

    def _nothing(self) -> _Found:
        """Nothing explains the end."""
        newest = self._log.newest[-_SHOWN:]
        errors = [message.text for message in self._log.tools][-1:]
        return _Found(
            verdict=UNKNOWN, evidence=tuple(dict.fromkeys((*errors, *newest))) or ("the log is empty",)
        )

    # rules

    def _errors(self, chain: Sequence[RaisedError], who: str = "") -> _Found | None:
        """What the rules say about an exception; product for one that only code can raise, None when they say nothing."""
        if self._log.retried is not None and is_stand_in(chain[:1]):
            chain = (self._log.retried, *chain[1:])
        for error in links(chain):
            line: tuple[str, ...] = (line_of(error, who),)
            warnings = self._log.rccl if _OF_RCCL.search(error.words) else ()
            text = " ".join([unquoted(error), *(message.text for message in warnings)])
            rule = None if is_programming((error,)) else self._rule("exception", text, error.frames)
            if warnings:
                line = (self._telling(warnings), *line)
            if rule is not None and "device" in rule.about:
                return self._by(rule, line)
            fault = self._about_kernel(HARDWARE) if _OF_GPU.search(error.text()) else None
            if fault is not None:
                return self._with(fault, *line)
            if rule is not None:
                return self._by(rule, line)
            if is_programming((error,)):
                return _Found(verdict=PRODUCT, evidence=line)
        return None

    def _telling(self, messages: Sequence[Message]) -> str:
        """The first that a rule finds something in, else the newest."""
        found = (message.text for message in messages if self._rule("exception", message.text) is not None)
        return next(found, messages[-1].text)

    def _rule(self, about: str, text: str, frames: Sequence[Frame] = ()) -> Rule | None:
        """The first rule that speaks about this kind of evidence and finds what it looks for."""
        context = Context(
            text=text,
            frames=frames,
            holders=self._facts.holders or self._log.holders,
            serves=self._facts.serves or self._log.serves or bool(self._log.gpu),
        )
        return next(
            (
                rule
                for rule in self._rules
                if about in rule.about and rule.pattern.search(text) and CONDITIONS[rule.only_if](context)
            ),
            None,
        )

    def _by(self, rule: Rule, evidence: tuple[str, ...]) -> _Found:
        match = rule.pattern.search(evidence[0])
        why = rule.why
        models = ", ".join(self._log.models) or "the test"
        for name, value in {"models": models, **(match.groupdict() if match is not None else {})}.items():
            why = why.replace(f"{{{name}}}", value or "")
        found = _Found(
            verdict=rule.verdict,
            evidence=evidence,
            rule=replace(rule, why=why),
        )
        return self._decided(found) if rule.verdict == ABORTED else found

    # the GPU

    def _gpu(self) -> tuple[int, _Found] | None:
        """What the GPU's runtime said when it stopped, and the line."""
        stopped = next(
            (
                (message, rule)
                for message in self._log.gpu
                if (rule := self._rule("device", message.text)) is not None and rule.verdict == ABORTED
            ),
            None,
        )
        if stopped is None:
            return None
        message, rule = stopped
        return message.line, self._by(rule, (message.text,))

    def _decided(self, found: _Found) -> _Found:
        """A device abort with what the kernel's log and the GPU's runtime say about it."""
        for rule in self._rules:
            lines: Iterable[str] = ()
            if "kernel" in rule.about and rule.verdict == HARDWARE:
                lines = self._kernel
            elif "device" in rule.about and rule.verdict == PRODUCT:
                lines = (message.text for message in self._log.gpu)
            line = next((each for each in lines if rule.pattern.search(each)), None)
            if line is not None:
                return _Found(verdict=rule.verdict, evidence=(line, *found.evidence), rule=rule)
        return found

    def _about_kernel(self, verdict: str = "") -> _Found | None:
        """What the kernel's lines prove; of one verdict only where it is given."""
        context = Context(text="\n".join(self._kernel))
        for rule in self._rules:
            if "kernel" not in rule.about or (verdict and rule.verdict != verdict):
                continue
            line = next((each for each in self._kernel if rule.pattern.search(each)), None)
            if line is not None and CONDITIONS[rule.only_if](context):
                return self._by(rule, (line,))
        return None


def _is_abort(process: ProcessEnd) -> bool:
    """Whether it ended as a GPU's runtime ends a process: by SIGABRT, which Python's faulthandler may have shown."""
    if not process.errors:
        return process.exit_code in (-6, 134)
    return process.errors[0].raises == "Fatal Python error" and "Abort" in process.errors[0].message
