"""The cases of one attempt as they end, and what their errors, bounds and the output say about them."""

from collections.abc import Sequence
from typing import Any

from .judge import FailedCase
from .judge.tracebacks import ProcessEnds, RaisedError
from .measures import Measures
from .proof import Excuses, Failure
from .server_logs import ServerLogs
from .spec import decode
from .verdict import AttemptFacts, covering

__all__ = ["Cases"]


class Cases:
    """Counts cases into the facts of an attempt; `measures` are its metrics, `ends` the processes that end in its output."""

    def __init__(
        self,
        facts: AttemptFacts,
        measures: Measures,
        *,
        quarantine: Sequence[str],
        excuses: Excuses,
        ends: ProcessEnds,
        logs: ServerLogs,
    ) -> None:
        self.measures = measures
        self._facts = facts
        self._quarantine = quarantine
        self._excuses = excuses
        self._ends = ends
        self._logs = logs

    def take_last_end(self, script: str) -> None:
        """What the output says about the end of a process that left no failed case."""
        facts, ends = self._facts, self._ends
        ends.close()
        if facts.kind == "script":
            facts.ended = ends.last_of(script)
            if facts.ended is not None:
                facts.excuse = self._excuses.of_script(facts.ended)
        elif facts.signal == "SIGKILL":
            # an engine in the test process: when its scheduler ends, SGLang kills its own tree, the test included
            facts.ended = ends.first_of_case()
            facts.excuse = self._excuses.of_end(facts.ended) if facts.ended is not None else None

    def take_bounds(self) -> None:
        """What was broken outside a case that says so, and what was not measured."""
        facts = self._facts
        if broken := self.measures.take_broken():
            facts.failed.append(
                FailedCase(case=self._facts.path, message=broken, verdict="bounds", assertion=True)
            )
        if facts.stopped is None:
            facts.unmeasured = self.measures.unmeasured()

    def take(self, keys: dict[str, Any]) -> None:
        """Count a case, and excuse one that failed where a row says so."""
        facts, case = self._facts, keys["case"]
        chains: tuple[tuple[RaisedError, ...], ...] = ()
        if keys["outcome"] == "failed" and keys["verdict"] is None:
            chains = self._explain(keys)
        self._judge_bounds(keys)
        outcome, message = keys["outcome"], keys["message"]
        self.measures.end_case(case, outcome, lacks=keys.pop("lacks"), message=message)
        del keys["failures"]
        keys["quarantine"] = covering(self._quarantine, case)
        facts.cases[outcome] += 1
        facts.running = ""
        if outcome == "failed":
            failed = FailedCase(
                case=case,
                message=message,
                verdict=keys["verdict"],
                assertion=keys["assertion"],
                chains=chains,
                ended=self._ends.first() or self._logs.first_end(),
            )
            facts.failed.append(failed)
        elif outcome == "skipped" and message not in facts.skip_reasons:
            facts.skip_reasons.append(message)
        self._ends.begin_case()

    def _judge_bounds(self, keys: dict[str, Any]) -> None:
        """A bound that broke fails its case, whatever the case has made of it."""
        broken, case = self.measures.take_broken(), keys["case"]
        if not broken or (keys["outcome"] == "failed" and keys["verdict"] == "bounds"):
            return
        if keys["outcome"] == "failed":
            self._facts.failed.append(FailedCase(case=case, message=broken, verdict="bounds", assertion=True))
            return
        message = f"{broken}; the case itself ended as {keys['outcome']}"
        said = f": {keys['message']}" if keys["message"] else ""
        keys |= {"outcome": "failed", "verdict": "bounds", "assertion": True, "message": message + said}

    def _explain(self, keys: dict[str, Any]) -> tuple[tuple[RaisedError, ...], ...]:
        """Excuse a failed case, or name the error that a retry hides; the errors that failed it, if it is not excused."""
        problems: list[str] = []
        failures: tuple[Failure, ...] = decode(tuple[Failure, ...], keys["failures"], "failures", problems)
        if problems:
            return ()
        excuse, error = self._excuses.of(failures), self._excuses.wrapped(failures)
        if excuse is not None:
            keys["outcome"], keys["message"] = excuse.outcome, excuse.reason
            self._facts.excuses.append(f"{keys['case']}: {excuse.reason}")
            return ()
        if error is not None:
            keys["message"], keys["assertion"] = error.text(), error.raises == "AssertionError"
        return tuple(failure.chain for failure in failures if failure.chain)
