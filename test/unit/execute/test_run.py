"""One run from its folder to its end, with an executor that says what it is given."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.catalog.quarantine import Quarantine, QuarantineTable
from ci.catalog.verdicts import Verdict
from ci.errors import ExitCode, InfrastructureError
from ci.execute.process_sweep import Found
from ci.execute.run import Ending, Run, Show, _started
from ci.execute.run_folder import RunFolder
from ci.plan.model import Plan
from ci.plan.shards import Shard
from ci.record.events import AgentEnded, AgentStarted, Event, TestEnded, TestStarted
from ci.record.values import AttemptOutcome, EndReason
from support.containers import docker_facts, image
from support.planning import (
    STAGE_A,
    STAGE_B_SMALL,
    catalog,
    facts,
    mi300x,
    on_cluster,
    planned,
    registration,
    request,
)

TEST = "test/registered/a.py"
FOLDER = RunFolder(path=Path("/runs/20260529T120000Z-stage-a-amd-1"))


def a_plan(**changes: Any) -> Plan:
    return planned(catalog(), facts([registration(TEST)]), request(**changes))


class TestWhatIsSaidAtTheStart:
    def test_a_rehearsal_says_why_it_is_one(self) -> None:
        event = _started(a_plan(), catalog(), {}, FOLDER)
        assert (event.rehearsal, event.rehearsal_because) == (True, "no GPU in /sys/class/kfd")
        assert event.run == FOLDER.name

    def test_a_run_on_a_gpu_is_none(self) -> None:
        plan = planned(catalog(), mi300x([registration(TEST)]), request(executor="host"))
        event = _started(plan, catalog(), {}, FOLDER)
        assert (event.rehearsal, event.rehearsal_because) == (False, "")

    def test_a_run_on_a_cluster_says_where_and_what_was_never_run(self) -> None:
        asked = request(executor=ExecutorKind.SLURM)
        rows = [registration(TEST)]
        plan = planned(catalog(), on_cluster(rows, "laptop"), asked)
        assert _started(plan, catalog(), {}, FOLDER).executor == "slurm, 2 nodes of laptop"
        plan = planned(catalog(), on_cluster(rows, "south"), asked, docker_facts(image()))
        event = _started(plan, catalog(), {}, FOLDER)
        assert (event.executor, event.never_run) == ("slurm, 1 node of south", "runtime apptainer")

    def test_tests_with_their_cases_and_what_is_left_out(self) -> None:
        rows = [registration(TEST), registration("test/registered/b.py", disabled="flaky, see #1")]
        plan = planned(catalog(), facts(rows), request(tests=(f"{TEST}::test_one",)))
        (one,) = _started(plan, catalog(), {}, FOLDER).tests
        assert (one.test, one.est_s, one.cases) == (TEST, 60, (f"{TEST}::test_one",))
        event = _started(planned(catalog(), facts(rows), request()), catalog(), {}, FOLDER)
        assert [(row.test, row.because) for row in event.disabled] == [
            ("test/registered/b.py", "disabled: flaky, see #1")
        ]

    def test_suites_without_tests_are_skipped_and_a_shard_without_tests_is_empty(self) -> None:
        rows = [registration(TEST, STAGE_B_SMALL)]
        whole = planned(catalog(), facts(rows), request("stage-b-amd"))
        skipped = _started(whole, catalog(), {}, FOLDER).skipped_suites
        assert "2-gpu" in [row.suite for row in skipped]
        asked = request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=2, count=5))
        event = _started(planned(catalog(), facts(rows), asked), catalog(), {}, FOLDER)
        assert [(row.suite, row.shard) for row in event.empty_shards] == [("1-gpu-small", "2/5")]
        assert event.tests == ()

    def test_quarantined_tests_have_their_row(self) -> None:
        row = Quarantine(
            test=TEST, hardware=("cpu",), reason="hangs", issue="https://github.com/o/r/issues/7",
            since=date(2026, 5, 1), expires=date(2026, 6, 1),
        )  # fmt: skip
        rows = replace(catalog(), quarantine=QuarantineTable(rows=(row,), problems=()))
        plan = planned(rows, facts([registration(TEST)]), request())
        (held,) = _started(plan, rows, {}, FOLDER).quarantine
        assert (held.test, held.issue, held.since, held.expires) == (
            TEST,
            row.issue,
            "2026-05-01",
            "2026-06-01",
        )

    def test_actions_is_linked(self) -> None:
        environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "7",
        }
        event = _started(a_plan(), catalog(), environ, FOLDER)
        assert event.github is not None
        assert event.github.run_url == "https://github.com/o/r/actions/runs/7"
        assert _started(a_plan(), catalog(), {**environ, "GITHUB_ACTIONS": "1"}, FOLDER).github is None


def test_the_suite_ids_of_stage_a_are_those_of_the_catalog() -> None:
    assert [suite.name for suite in a_plan().work.suites] == [STAGE_A]


@dataclass
class Double:
    """An executor that hands out events and notes what it was told."""

    given: list[Event]
    broken: Exception | None = None
    swept: tuple[Found, ...] = ()
    calls: list[str] = field(default_factory=list)
    on_event: Any = None
    on_start: Callable[[], None] = lambda: None
    stop_s: float = 7.0
    goes_on: bool = False

    def start(self, spec: Any) -> None:
        self.calls.append(f"start {spec.run}")
        self.on_start()

    def events(self) -> Iterator[Event]:
        for event in self.given:
            if self.on_event is not None:
                self.on_event()
            yield event
        if self.broken is not None:
            raise self.broken

    def stop(self, *, at_once: bool = False) -> None:
        self.calls.append("kill" if at_once else "stop")

    def detach(self) -> str:
        self.goes_on = True
        return "it goes on"

    def close(self) -> None:
        self.calls.append("close")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ended(outcome: AttemptOutcome, verdict: Verdict) -> list[Event]:
    about: Any = {"suite": "1-gpu-small", "test": TEST, "attempt": 1}
    return [
        AgentStarted(),
        TestStarted(**about),
        TestEnded(**about, outcome=outcome, verdict=verdict, exit_code=0),
        AgentEnded(reason=EndReason.DONE),
    ]


PASSED = ended(AttemptOutcome.PASSED, Verdict.PASSED)


class Bench:
    """Runs a plan with a double of the executor and keeps what was shown, reported and said."""

    def __init__(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = runs
        self.shown: list[Event] = []
        self.order: list[str] = []
        self.endings: list[Ending] = []
        self.messages: list[str] = []
        self._monkeypatch = monkeypatch

    @contextmanager
    def view(self, _folder: RunFolder) -> Iterator[Show]:
        self.order.append("view")
        yield self.shown.append
        self.order.append("end of view")

    def report(self, ending: Ending) -> None:
        self.order.append("report")
        self.endings.append(ending)

    def run(self, executor: Double, plan: Plan | None = None, environ: dict[str, str] | None = None) -> int:
        plan = plan or a_plan()
        plan = replace(plan, placement=replace(plan.placement, runs_dir=str(self.runs)))
        module = SimpleNamespace(open_executor=lambda *_, **__: executor)
        self._monkeypatch.setattr("ci.execute.run.EXECUTORS", dict.fromkeys(ExecutorKind, module))
        rows: Catalog = catalog()
        return Run(
            plan=plan,
            catalog=rows,
            environ=environ or {},
            view=self.view,
            report=self.report,
            say=self.messages.append,
            acknowledge=self.messages.append,
        ).act()

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.shown]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Bench(tmp_path / "runs", monkeypatch)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_is_recorded_shown_and_reported_once(bench: Bench) -> None:
    executor = Double(PASSED)
    assert bench.run(executor) == 0
    assert bench.kinds() == [
        *(
            "RunStarted",
            "Capsule",
            "AgentStarted",
            "TestStarted",
            "TestEnded",
            "AgentEnded",
            "Capsule",
            "RunEnded",
        )
    ]
    assert bench.order == ["view", "end of view", "report"]
    (ending,) = bench.endings
    assert ending.record.recorded_exit == 0
    assert [test.id for test in ending.record.tests] == [TEST]
    assert ending.folder.plan.is_file()
    assert executor.calls == [f"start {ending.folder.name}", "close"]
    assert not list((bench.runs / ".live").iterdir()), "the run is not alive any more"
    assert all(event.time for event in bench.shown)


def test_a_failed_test_is_the_exit_code(bench: Bench) -> None:
    assert bench.run(Double(ended(AttemptOutcome.FAILED, Verdict.BOUNDS))) == ExitCode.BOUNDS
    assert bench.endings[0].exit_code == ExitCode.BOUNDS


def test_a_signal_stops_the_executor_and_is_130_whatever_passed(bench: Bench) -> None:
    executor = Double(PASSED, on_event=lambda: signal.raise_signal(signal.SIGTERM))
    assert bench.run(executor) == ExitCode.INTERRUPTED
    assert executor.calls.count("stop") == len(PASSED)
    assert bench.endings[0].record.recorded_exit == ExitCode.INTERRUPTED


def presses(*numbers: signal.Signals, apart_s: float) -> Callable[[], None]:
    """Send these signals, one for each event."""
    left = iter(numbers)

    def press() -> None:
        if (number := next(left, None)) is not None:
            time.sleep(apart_s)
            signal.raise_signal(number)

    return press


def test_the_first_signal_is_acknowledged_at_once(bench: Bench) -> None:
    pressed = presses(signal.SIGINT, signal.SIGTERM, apart_s=0.4)
    assert bench.run(Double(PASSED, on_event=pressed)) == ExitCode.INTERRUPTED
    assert bench.messages == ["stopping, up to 7 s; press Ctrl-C again to kill the tests at once"]


@pytest.mark.parametrize(
    ("apart_s", "calls"), [(0.4, ["stop", "kill"]), (0.0, ["stop", "stop"])], ids=["twice", "one press"]
)
def test_a_second_press_kills_the_tests_at_once(bench: Bench, apart_s: float, calls: list[str]) -> None:
    executor = Double(PASSED, on_event=presses(signal.SIGINT, signal.SIGINT, apart_s=apart_s))
    assert bench.run(executor) == ExitCode.INTERRUPTED
    assert [call for call in executor.calls if call in ("stop", "kill")] == calls


def test_a_signal_while_the_executor_starts_stops_it(bench: Bench) -> None:
    executor = Double(PASSED, on_start=lambda: signal.raise_signal(signal.SIGTERM))
    assert bench.run(executor) == ExitCode.INTERRUPTED
    assert [word for word in executor.calls if not word.startswith("start")] == ["stop", "close"]


def test_a_failure_of_ours_ends_the_record_and_not_the_reports(bench: Bench) -> None:
    broken = InfrastructureError("the disk is full", then="df -h")
    assert bench.run(Double([AgentStarted()], broken=broken)) == ExitCode.INFRASTRUCTURE
    (ending,) = bench.endings
    assert ending.failure is broken
    assert ending.record.recorded_exit is None


def test_a_run_that_was_let_go_stays_alive_and_is_reported_by_who_follows_it(bench: Bench) -> None:
    executor = Double(PASSED, on_event=presses(signal.SIGHUP, apart_s=0.0))
    assert bench.run(executor) == ExitCode.INTERRUPTED
    assert bench.messages == ["it goes on"]
    assert bench.endings == []
    assert "RunEnded" not in bench.kinds()
    assert list((bench.runs / ".live").iterdir())


def test_a_run_that_could_not_be_ended_is_reported_and_stays_alive(bench: Bench) -> None:
    broken = InfrastructureError("no answer", then="scancel 7")
    assert bench.run(Double([AgentStarted()], broken=broken, goes_on=True)) == ExitCode.INFRASTRUCTURE
    assert bench.endings[0].failure is broken
    assert list((bench.runs / ".live").iterdir())


def test_what_outlived_the_agent_is_a_note(bench: Bench) -> None:
    bench.run(Double(PASSED, swept=(Found(pid=42, command="server"),)))
    assert "killed after the agent's end: process 42 (server)" in bench.endings[0].record.notes


def test_a_date_that_is_tried_is_reported_in_the_record(bench: Bench) -> None:
    bench.run(Double(PASSED), environ={"AMD_CI_TODAY": "2026-05-01"})
    assert any("2026-05-01" in note for note in bench.endings[0].record.notes)


def test_an_empty_shard_starts_no_executor(bench: Bench) -> None:
    asked = request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=2, count=5))
    plan = planned(catalog(), facts([registration(TEST, STAGE_B_SMALL)]), asked)
    executor = Double(PASSED)
    assert bench.run(executor, plan) == 0
    assert executor.calls == []


def test_a_run_folder_that_cannot_be_made_is_reported_with_what_to_do(bench: Bench) -> None:
    bench.runs.write_text("a file")
    with pytest.raises(InfrastructureError):
        bench.run(Double(PASSED))
