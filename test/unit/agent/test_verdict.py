"""The verdict over an attempt: what the process, its cases, the kernel and the log say, and in which order."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.judge import FailedCase, Judgement, Rule
from ci.agent.judge.tracebacks import ProcessEnd, RaisedError
from ci.agent.measures import Unmeasured
from ci.agent.spec import Metric, Verdict
from ci.agent.verdict import AttemptFacts, classify, covering, gates
from support.agent_process import a_metric, verdicts

pytestmark = pytest.mark.in_container

RULES = [
    Rule(
        id="gpu-hang",
        verdict="hardware",
        about=("exception", "device"),
        pattern=re.compile(r"GPU Hang\b"),
        why="the GPU no longer answers",
    ),
    Rule(
        id="absent",
        verdict="infra",
        about=("exception",),
        pattern=re.compile(r"no model (?P<model>\S+)"),
        why='add "{model}"',
    ),
    Rule(
        id="disk-full",
        verdict="infra",
        about=("exception", "setup"),
        pattern=re.compile("No space left on device"),
        why="the disk is full",
    ),
]
VERDICTS = [Verdict(**row) for row in verdicts()]  # type: ignore[arg-type]  # values by name
CAUSES = [row.id for row in VERDICTS if row.cause]

DISK_FULL = RaisedError(raises="OSError", message="[Errno 28] No space left on device")
HANG = RaisedError(raises="RuntimeError", message="GPU Hang")


def facts(**keys: object) -> AttemptFacts:
    base: dict[str, object] = {"path": "test_a.py", "kind": "pytest", "exit_code": 1, "session_code": 1}
    return AttemptFacts(**{**base, **keys})  # type: ignore[arg-type]  # values by name


def judge(log: str = "", **keys: object) -> Judgement:
    return classify(facts(**keys), VERDICTS, RULES, lambda: log)


def failed(
    verdict: str | None = None,
    *errors: RaisedError,
    assertion: bool = False,
    case: str = "test_a.py::test_a",
) -> FailedCase:
    chains = (errors,) if errors else ()
    return FailedCase(case=case, message="what it said", verdict=verdict, assertion=assertion, chains=chains)


def test_the_error_that_failed_a_case_is_matched_and_shown_with_the_rule() -> None:
    judgement = judge("before\nafter\n", failed=[failed(None, DISK_FULL)], cases=Counter(failed=1))
    assert (judgement.rule, judgement.verdict, judgement.outcome) == ("disk-full", "infra", "failed")
    assert judgement.evidence == (
        "OSError: [Errno 28] No space left on device",
        "rule disk-full: the disk is full",
        "test_a.py::test_a: what it said",
    )


def test_a_rule_says_what_its_named_groups_found() -> None:
    error = RaisedError(raises="OSError", message="no model org/name here")
    judgement = judge(failed=[failed(None, error)])
    assert judgement.evidence[:2] == ("OSError: no model org/name here", 'rule absent: add "org/name"')


def test_a_scheduler_that_was_killed_is_named_once_for_all_cases() -> None:
    killed = ProcessEnd(who="scheduler_0", exit_code=-9)
    message = "EngineCrashError: the server was ended by signal SIGKILL"
    cases = [FailedCase(case=name, message=message, ended=killed) for name in "abc"]
    judgement = judge(failed=cases)
    assert judgement.verdict == "product"
    assert judgement.evidence == (
        "scheduler_0 ended first: signal SIGKILL",
        f"a and 2 more: {message}",
    )
    assert judge(failed=cases, oom_kills=1).verdict == "oom"


def test_rules_read_what_ended_the_server_too() -> None:
    ended = ProcessEnd(who="x", errors=(HANG,))
    cases = [FailedCase(case="a", message="Exception: Server process exited with code 1", ended=ended)]
    assert judge("the log has the end of another one", failed=cases).rule == "gpu-hang"


def test_a_line_that_no_rule_finds_leaves_the_failure_with_the_product() -> None:
    for keys in ({"failed": [failed()]}, {"kind": "script", "session_code": None}, {"signal": "SIGABRT"}):
        judgement = judge("start\nwe ran out of memory slots\nend\n", **keys)
        assert (judgement.verdict, judgement.rule) == ("product", None)


def test_an_assertion_is_the_products_whatever_else_the_log_holds() -> None:
    judgement = judge(str(DISK_FULL), failed=[failed(None, DISK_FULL, assertion=True)])
    assert (judgement.verdict, judgement.rule) == ("product", None)
    assert judgement.evidence == ("test_a.py::test_a: what it said",)


def test_the_order_of_the_rules_decides() -> None:
    both = RaisedError(raises="OSError", message="No space left on device after a GPU Hang")
    assert judge(failed=[failed(None, both)]).rule == "gpu-hang"


def test_bounds_only_when_every_failed_case_says_so() -> None:
    broken = [failed("bounds", assertion=True), failed("bounds")]
    assert judge("GPU Hang", failed=broken).verdict == "bounds"
    assert judge(failed=[*broken, failed(assertion=True)]).verdict == "product"
    mixed = judge("GPU Hang", failed=[*broken, failed(case="the other")])
    assert (mixed.verdict, mixed.rule, mixed.evidence) == ("product", None, ("the other: what it said",))


@given(st.lists(st.sampled_from(CAUSES), min_size=1, max_size=4))
def test_among_several_verdicts_of_cases_the_worst_for_the_product_wins(verdicts: list[str]) -> None:
    judgement = judge(failed=[failed(verdict) for verdict in verdicts])
    assert judgement.verdict == min(verdicts, key=CAUSES.index)


def test_an_unexplained_case_beside_an_infra_case_is_not_excused_without_proof() -> None:
    cases = [failed("infra"), failed(case="the other")]
    assert judge("No space left on device", failed=cases).verdict == "product"
    assert judge(failed=[cases[0], failed(None, DISK_FULL, case="the other")]).verdict == "infra"


def test_a_verdict_that_no_one_defined_is_taken_for_the_product() -> None:
    assert judge(failed=[failed("fine")]).verdict == "product"


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({"signal": "SIGKILL", "exit_code": None}, "unknown"),
        ({"signal": "SIGKILL", "exit_code": None, "oom_kills": 1}, "oom"),
        ({"signal": "SIGSEGV", "exit_code": None}, "product"),
        ({"signal": "SIGABRT", "exit_code": None}, "product"),
        ({"exit_code": 3, "session_code": None}, "unknown"),
        ({"exit_code": 0, "session_code": None}, "unknown"),
        ({"exit_code": 0, "session_code": None, "cases": Counter(passed=3)}, "unknown"),
        ({"exit_code": 7, "session_code": 0, "cases": Counter(passed=3)}, "unknown"),
        ({"exit_code": 4, "session_code": 4}, "product"),
        ({"exit_code": 0, "session_code": 0}, "product"),
        ({"exit_code": 5, "session_code": 5}, "product"),
        ({"exit_code": 255, "session_code": None, "kind": "script"}, "product"),
        ({"exit_code": 137, "session_code": None, "kind": "script", "oom_kills": 1}, "oom"),
        ({"failed": [failed()], "oom_kills": 1}, "oom"),
        ({"failed": [failed(assertion=True)], "oom_kills": 1}, "product"),
        ({"failed": [failed()], "log_error": "the log could not be written: disk full"}, "infra"),
        ({"deadline": "no end", "cases": Counter(passed=1)}, "timeout-while-passing"),
        ({"deadline": "no end"}, "timeout"),
        ({"deadline": "no end", "cases": Counter(passed=1, failed=1), "failed": [failed()]}, "timeout"),
    ],
)
def test_ends_without_a_pass(keys: dict[str, object], verdict: str) -> None:
    judgement = judge("some output\n", **keys)
    assert (judgement.outcome, judgement.verdict) == ("failed", verdict)
    assert judgement.evidence


def test_an_attempt_that_was_stopped_is_cancelled_and_not_failed() -> None:
    stopped = judge(stopped="interrupted", deadline="no end", running="test_a.py::test_a", failed=[failed()])
    assert (stopped.outcome, stopped.verdict) == ("cancelled", "cancelled")
    assert stopped.evidence == ("interrupted; running: test_a.py::test_a",)


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [
        ({"cases": Counter(passed=1, skipped=2), "exit_code": 0, "session_code": 0}, "passed"),
        ({"cases": Counter(xfailed=1), "exit_code": 0, "session_code": 0}, "xfailed"),
        ({"cases": Counter(xpassed=1, skipped=1), "exit_code": 0, "session_code": 0}, "xfailed"),
        ({"cases": Counter(xfailed=1, passed=1), "exit_code": 0, "session_code": 0}, "passed"),
        ({"cases": Counter(skipped=2), "exit_code": 0, "session_code": 0}, "skipped"),
        ({"cases": Counter(skipped=1), "exit_code": 5, "session_code": 5}, "skipped"),
        ({"kind": "script", "exit_code": 0, "session_code": None}, "passed"),
    ],
)
def test_ends_with_a_pass(keys: dict[str, object], outcome: str) -> None:
    def unread() -> str:
        raise AssertionError("the log of an attempt that passed has no say")

    judgement = classify(facts(**keys), VERDICTS, RULES, unread)
    assert (judgement.outcome, judgement.verdict, judgement.evidence) == (outcome, "passed", ())


def test_the_last_lines_stand_in_for_what_nothing_explains() -> None:
    judgement = judge(
        "first\nsecond\n\nthird\n\x1b[1mfourth\x1b[0m\n", kind="script", session_code=None, exit_code=3
    )
    assert judgement.evidence == ("the test process ended with exit code 3", "second", "third", "fourth")


class TestRowsWithoutAValue:
    """A test that measured nothing has not shown that its bounds hold."""

    ROW = Metric(**a_metric("b", "test_b"))  # type: ignore[arg-type]  # values by name

    def test_a_pass_without_a_value_is_a_failure_that_names_the_row(self) -> None:
        found = judge(
            exit_code=0,
            session_code=0,
            cases=Counter(passed=2),
            unmeasured=(Unmeasured(row=self.ROW, instead=("test_b was skipped: not today",)),),
        )
        assert (found.outcome, found.verdict) == ("failed", "product")
        (line,) = found.evidence
        assert "no value of 'b' was judged (test_b was skipped: not today)" in line
        assert "ci/catalog/bounds.toml" in line

    def test_a_missing_feature_excuses_it(self) -> None:
        lacking = Unmeasured(row=self.ROW, excuse="the engine lacks 'vision'")
        found = judge(exit_code=0, session_code=0, cases=Counter(passed=1, skipped=1), unmeasured=(lacking,))
        assert found.outcome == "passed"

    def test_a_failure_keeps_its_own_verdict(self) -> None:
        case = FailedCase(case="test_a.py::test_a", message="boom", verdict="bounds")
        found = judge(cases=Counter(failed=1), failed=[case], unmeasured=(Unmeasured(row=self.ROW),))
        assert found.verdict == "bounds"

    def test_it_gates_beside_a_failure_in_quarantine(self) -> None:
        case = FailedCase(case="test_a.py::test_a", message="boom")
        ended = facts(failed=[case], unmeasured=(Unmeasured(row=self.ROW),))
        judgement = Judgement(outcome="failed", verdict="product")
        assert gates(["test_a.py::test_a"], ended, judgement, VERDICTS)
        assert not gates(["test_a.py"], ended, judgement, VERDICTS)


class TestGating:
    """Which failures a quarantine excuses."""

    def test_a_row_without_parameters_covers_them_all_and_no_longer_name(self) -> None:
        ended = facts(
            failed=[FailedCase(case="test_a.py::test_a[1]"), FailedCase(case="test_a.py::test_a[2]")]
        )
        judgement = Judgement(outcome="failed", verdict="product")
        assert not gates(["test_a.py::test_a"], ended, judgement, VERDICTS)
        assert gates(["test_a.py::test_a[1]"], ended, judgement, VERDICTS)
        assert gates(["test_a.py::test"], ended, judgement, VERDICTS)
        assert gates([], ended, judgement, VERDICTS)

    def test_a_file_is_excused_whatever_happened_but_for_a_stop(self) -> None:
        ended = facts(exit_code=None, signal="SIGKILL")
        assert not gates(["test_a.py"], ended, Judgement(outcome="failed", verdict="timeout"), VERDICTS)
        assert gates(["test_a.py"], ended, Judgement(outcome="failed", verdict="cancelled"), VERDICTS)

    def test_what_passed_does_not_gate(self) -> None:
        ended = facts(exit_code=0, session_code=0, cases=Counter(passed=1))
        assert not gates([], ended, Judgement(outcome="passed", verdict="passed"), VERDICTS)

    def test_a_row_covers_a_case_its_parameters_and_what_is_below_it(self) -> None:
        rows = ["test_a.py", "test_a.py::TestA", "test_a.py::TestA::test_b[1]", "test_b.py"]
        assert covering(rows, "test_a.py::TestA::test_b[1]") == rows[:3]
        assert covering(rows, "test_a.py::TestAB::test_b") == rows[:1]


class TestTheMachine:
    """What the agent saw of the machine meanwhile is part of the evidence."""

    MEMORY = Rule(
        id="gpu-oom",
        verdict="oom",
        about=("exception",),
        pattern=re.compile("out of memory"),
        why="no free memory on the GPU",
        only_if="memory-of-others",
    )
    FAULT = Rule(
        id="gpu-ecc", verdict="hardware", about=("kernel",), pattern=re.compile("uncorrectable"), why="broken"
    )
    ABORT = Rule(
        id="gpu-fault",
        verdict="device",
        about=("exception", "device"),
        pattern=re.compile("Memory access fault"),
        why="the GPU stopped",
    )
    HOLDER = "process 12 (python3 train.py) holds 130.0 GiB of GPU 0"
    UNKNOWN = "the kernel log is unknown: /dev/kmsg: Operation not permitted"

    def judged(self, error: RaisedError, **keys: object) -> Judgement:
        rules = [self.MEMORY, self.FAULT, self.ABORT]
        return classify(facts(failed=[failed(None, error)], **keys), VERDICTS, rules, lambda: "")

    def test_memory_that_others_hold_names_them(self) -> None:
        error = RaisedError(raises="torch.OutOfMemoryError", message="HIP out of memory.")
        found = self.judged(error, holders=(self.HOLDER,) * 9)
        assert found.verdict == "oom"
        assert "out of memory" in found.evidence[0]
        assert found.evidence.count(self.HOLDER) == 3
        assert self.judged(error).verdict == "product"

    def test_a_device_abort_with_a_fault_in_the_kernel_log_is_the_hardwares(self) -> None:
        error = RaisedError(raises="RuntimeError", message="Memory access fault by GPU node-2")
        line = "amdgpu 0000:9d:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block"
        assert self.judged(error, kernel_log=(line,)).verdict == "hardware"

    def test_a_device_abort_says_when_the_kernel_could_not_be_asked(self) -> None:
        error = RaisedError(raises="RuntimeError", message="Memory access fault by GPU node-2")
        found = self.judged(error, unknown=(self.UNKNOWN,))
        assert (found.verdict, found.evidence[-1]) == ("device", self.UNKNOWN)
        assert self.UNKNOWN not in self.judged(DISK_FULL, unknown=(self.UNKNOWN,)).evidence
