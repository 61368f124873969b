"""Pages to look at: of a real run that fails in many ways, of stored runs, and of a run as large as they get."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import AgentEnded, AgentStarted, By, Case, Event, Metric, Retry
from ci.record.fold import fold
from ci.record.merge import Found, merge
from ci.record.model import Attempt, RunRecord
from ci.record.values import BoundRecord, CaseOutcome, PlannedTest
from ci.report.final.html import html_report
from ci.report.log_tail import LogTails
from support.files import ci, run_folder
from support.merged_runs import shard_run
from support.records import EVENTS, NASTY, SUITE, attempt_events, ended, record_of, run_started
from support.red_run import red_repository
from support.report_texts import full_of

__all__ = ["STORED", "Open", "large_page", "red_run", "stored_page"]

# stored runs, which have every state that a run can have; merged ones; one whose every text is hostile
STORED = (
    "stage-b",
    "rehearsal",
    "container",
    "quarantine",
    "lost-agent",
    "cancelled",
    "guard",
    "merged",
    "hostile",
)

# opens a page in a browser of its own: `visit(path, "?status=failed#t3", width=360)`
Open = Callable[..., Page]

_TAIL_LINES = 40
_WORST = (Verdict.PRODUCT, Verdict.UNKNOWN, Verdict.INFRA, Verdict.TIMEOUT, Verdict.BOUNDS, Verdict.OOM)


def red_run(folder: Path) -> Path:
    """The run folder of a real run that fails in many ways, made below `folder`."""
    repository = red_repository(folder / "repository")
    done = ci("run", "stage-a-amd", "--jobs", "2", runs=folder / "runs", cwd=repository, timeout_s=400)
    assert done.code == 1, done.text
    return run_folder(folder / "runs")


def stored_page(name: str, folder: Path) -> Path:
    """The page of a stored run, of merged ones of which a shard is missing, or of one whose every text is hostile."""
    path = folder / f"{name}.html"
    page = html_report(_record(name), tails=LogTails(EVENTS, lines=_TAIL_LINES))
    path.write_bytes(page.encode(errors="backslashreplace"))
    return path


def _record(name: str) -> RunRecord:
    match name:
        case "merged":
            return merge([_failing_shard(), shard_run(2)], None).record
        case "hostile":
            return full_of(" ".join(NASTY))
        case _:
            return record_of(name)


def _failing_shard() -> Found:
    run = shard_run(1)
    first = run.record.tests[0].id
    return shard_run(
        1,
        attempts={first: [ended("failed", "product", evidence=("RuntimeError: no peer",), duration_s=40.0)]},
    )


def large_page(folder: Path, *, tests: int = 500, attempts: int = 3) -> tuple[Path, float]:
    """The page of a run of so many tests with so many attempts each, half of them failed, and the seconds it took to make."""
    record = fold(_events(folder, tests, attempts))
    assert len(record.tests) == tests
    assert record.count(Status.FAILED) >= tests // 3
    began_s = time.monotonic()
    page = html_report(record, tails=LogTails(folder, lines=_TAIL_LINES))
    took_s = time.monotonic() - began_s
    path = folder / "report.html"
    path.write_bytes(page.encode(errors="backslashreplace"))
    return path, took_s


def _events(folder: Path, tests: int, attempts: int) -> Iterator[Event]:
    names = [f"test/registered/area{number % 23}/test_feature_{number:03d}.py" for number in range(tests)]
    planned = tuple(
        PlannedTest(suite=SUITE, test=name, est_s=40 + number % 90) for number, name in enumerate(names)
    )
    yield replace(
        run_started([]),
        tests=planned,
        hardware_class="mi300x",
        engine="sglang 0.5.23",
        commit="6e9bd8271" * 4,
    )
    yield AgentStarted(by=By.AGENT)
    (folder / "logs").mkdir()
    elapsed_s = 0.0
    for number, name in enumerate(names):
        for attempt in _attempts(folder, name, number, attempts):
            for event in attempt_events(name, attempt):
                if event.type == "test-ended":
                    elapsed_s += 20 + number % 7
                yield replace(event, elapsed_s=elapsed_s)
    yield AgentEnded(by=By.AGENT)


def _attempts(folder: Path, name: str, number: int, of: int) -> Iterator[Attempt]:
    fails = number % 2 == 0
    for at in range(1, of + 1):
        log = f"logs/{Path(name).stem}.{at}.log"
        (folder / log).write_text(
            "".join(f"[2026-05-29 07:{line:02d}] Decode batch <{line}> & more\n" * 2 for line in range(99))
        )
        passed = at == of and not fails
        verdict = Verdict.PASSED if passed else _WORST[number // 2 % len(_WORST)]
        attempt = ended(
            "passed" if passed else "failed",
            verdict,
            at,
            of=of,
            cases=tuple(_cases(name, number, passed=passed)),
            metrics=(_metric(number),) if number % 5 == 0 else (),
            evidence=() if passed else (f"RuntimeError: rank {number} did not answer within {30 + at} s",),
            symptom="" if passed else f"RuntimeError: rank # of group {number % 40} did not answer",
            exit_code=int(not passed),
            duration_s=20.0 + number % 7,
            retry=None if at == of else Retry(wait_s=30, because=f"attempt {at} of {of} ended as {verdict}"),
        )  # fmt: skip
        yield replace(attempt, start=replace(attempt.start, log=log))


def _cases(name: str, number: int, *, passed: bool) -> Iterator[Case]:
    for at in range(6):
        failed = at == 2 and not passed
        lines = [f"    frame_{line} = step({line}, 'a \"quoted\" <value>')" for line in range(60)]
        details = "\n".join(
            [*lines, f">   raise RuntimeError('rank {number}')", f"E   RuntimeError: rank {number}"]
        )
        yield Case(
            case=f"{name}::TestFeature::test_case_{at}[bf16-{at}]",
            outcome=CaseOutcome.FAILED if failed else CaseOutcome.PASSED,
            duration_s=3.1,
            message=f"RuntimeError: rank {number} did not answer" if failed else "",
            details=details if failed else "",
            file=name,
            line=40 + at,
        )


def _metric(number: int) -> Metric:
    bound = BoundRecord(ok=number % 3 != 0, op=">=", limit=100.0, source="SGLang at 6e9bd8271")
    return Metric(metric="output_tokens_per_s", value=90.0 + number % 30, unit="tok/s", bound=bound)
