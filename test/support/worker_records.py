"""A run on two nodes, one of which is lost, event by event."""

from dataclasses import replace
from typing import Any

from ci.catalog.verdicts import Verdict
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    By,
    Case,
    Event,
    Job,
    Note,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    SlotLost,
    SuiteEnded,
    SuiteStarted,
    TestEnded,
    TestStarted,
    WorkerEnded,
    WorkerLost,
    WorkerStarted,
)
from ci.record.values import AttemptOutcome, CaseOutcome, EndReason, PhaseOutcome, TestName
from support.records import SUITE, run_started

__all__ = ["TESTS", "run_on_two_nodes"]

TESTS = tuple(f"test/registered/amd/test_{name}.py" for name in ("moe", "mla", "lora", "eval", "spec", "kv"))


def run_on_two_nodes(*, gpus: bool = False) -> list[Event]:
    """Six tests on two nodes with two slots each; the second node is lost while it has two of them, one fails."""
    events: list[Event] = [
        replace(run_started(TESTS, executor="slurm", hardware_class="mi300x"), at_s=0.0),
        PhaseStarted(phase="submit", text="sbatch on cluster amdci", at_s=0.1),
        Job(job="123", cluster="amdci", state="PENDING", reason="Resources", at_s=0.4),
        PhaseEnded(phase="submit", outcome=PhaseOutcome.OK, duration_s=0.3, at_s=0.4),
        Job(job="123", cluster="amdci", state="RUNNING", nodes=("n1", "n2"), at_s=20.0),
        AgentStarted(worker="head", by=By.AGENT, elapsed_s=0.0, at_s=21.0, host="n1", python="3.12.3"),
    ]
    for worker in "12":
        pulled: dict[str, Any] = {"phase": "pull", "worker": worker}
        events += [
            PhaseStarted(**pulled, text="rocm/sgl-dev", at_s=22.0),
            PhaseEnded(**pulled, outcome=PhaseOutcome.OK, duration_s=6.0, at_s=28.0),
            _of(worker, 0.0, WorkerStarted(node=f"n{worker}.amd", slots=2, python="3.12.3", at_s=29.0)),
        ]
    events.append(SuiteStarted(suite=SUITE, tests=TESTS, timeout_s=3600, worker="1", by=By.AGENT))
    began = ((0, "1", 1, 1.0), (1, "2", 1, 1.0), (2, "1", 2, 1.1), (3, "2", 2, 1.1))
    events += [_start(*each, gpus=gpus) for each in began]
    events += [
        *_end(2, "1", 30.0),
        _start(4, "1", 2, 30.1, gpus=gpus),
        _of("2", 31.0, Note(text="the server is ready", suite=SUITE, test=TESTS[1], attempt=1)),
        WorkerLost(
            worker="2",
            node="n2.amd",
            because="srun: error: Node failure on n2",
            tests=tuple(TestName(suite=SUITE, test=TESTS[place]) for place in (1, 3)),
            at_s=65.0,
        ),
        *_end(0, "1", 50.0, failed=True),
        _start(1, "1", 1, 50.1, gpus=gpus),
        *_end(4, "1", 70.0),
        _start(3, "1", 2, 70.1, gpus=gpus),
        *_end(1, "1", 80.0),
        _start(5, "1", 1, 80.1, gpus=gpus),
        *_end(3, "1", 95.0),
        *_end(5, "1", 99.0),
    ]
    if gpus:
        events.append(
            _of("1", 99.5, SlotLost(gpu_ids=("1",), because="3 GiB stay in use", suite=SUITE, test=TESTS[5]))
        )
    return [
        *events,
        SuiteEnded(suite=SUITE, duration_s=98.0, at_s=128.0),
        _of("1", 100.0, WorkerEnded(reason=EndReason.DONE)),
        AgentEnded(worker="head", by=By.AGENT, elapsed_s=110.0, at_s=131.0),
        RunEnded(exit_code=1, at_s=132.0),
    ]


def _of(worker: str, elapsed_s: float, event: Event) -> Event:
    return replace(event, worker=worker, by=By.AGENT, elapsed_s=elapsed_s)


def _start(place: int, worker: str, slot: int, elapsed_s: float, *, gpus: bool) -> Event:
    start = TestStarted(
        suite=SUITE,
        test=TESTS[place],
        attempt=1,
        log=f"logs/{place}.{worker}.log",
        est_s=30,
        timeout_s=1200,
        slot=slot,
        gpu_ids=(str(slot - 1),) if gpus else (),
    )
    return _of(worker, elapsed_s, start)


def _end(place: int, worker: str, elapsed_s: float, *, failed: bool = False) -> list[Event]:
    about: dict[str, Any] = {"suite": SUITE, "test": TESTS[place], "attempt": 1}
    case = Case(
        **about,
        case=f"{TESTS[place]}::test_it",
        outcome=CaseOutcome.FAILED if failed else CaseOutcome.PASSED,
        message="AssertionError: 3 != 4" if failed else "",
        assertion=failed,
    )
    end = TestEnded(
        **about,
        outcome=AttemptOutcome.FAILED if failed else AttemptOutcome.PASSED,
        verdict=Verdict.PRODUCT if failed else Verdict.PASSED,
        evidence=(f"{TESTS[place]}::test_it: AssertionError: 3 != 4",) if failed else (),
        exit_code=int(failed),
        duration_s=29.0,
        cases={"failed" if failed else "passed": 1},
    )
    return [_of(worker, elapsed_s - 0.1, case), _of(worker, elapsed_s, end)]
