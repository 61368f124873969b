"""What failed in an earlier run is what the next one is asked for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ci.errors import ExitCode, NothingSelectedError, UsageError
from ci.execute.earlier_run import baseline_of, failed_part, with_failed
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.record.event_log import line_of, read_events
from ci.record.events import RunEnded
from ci.record.fold import fold
from ci.report.model import baseline_words
from support.planning import STAGE_A, catalog, facts, planned, registration, request
from support.records import ended, run_events

A, B = "test/registered/a.py", "test/registered/b.py"
STAGE, SUITE = "stage-a-amd", "1-gpu-small"


def write_run(runs: Path, name: str, tests: Mapping[str, str]) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    attempts = {
        test: [ended("passed", "passed") if end == "passed" else ended("failed", end)]
        for test, end in tests.items()
    }
    events = [*run_events(attempts, run=name, stage=STAGE, session="stage_a_amd"), RunEnded(exit_code=0)]
    (folder / "plan.json").write_text(json.dumps(plan().to_json()))
    (folder / "events.jsonl").write_bytes(
        b"".join(map(line_of, events)).replace(STAGE_A.encode(), SUITE.encode())
    )
    return folder


def plan() -> Plan:
    return planned(catalog(), facts([registration(A), registration(B)]), request())


def last_failed(
    asked: Request, run: str, runs: Path, *, root: str = "/tree", checkout: bool = False
) -> Request:
    return with_failed(asked, run, runs, root=Path(root), checkout=checkout)


OLD, NEW = f"20260101T000000Z-{STAGE}-1", f"20260102T000000Z-{STAGE}-2"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path, OLD, {A: "product", B: "passed"})
    write_run(tmp_path, NEW, {A: "passed", B: "product"})
    return tmp_path


def test_without_a_name_it_is_the_newest_and_the_command_names_it(runs: Path) -> None:
    words = ("nox", "-s", "stage_a_amd", "--", "--json", "--last-failed", "--jobs", "2")
    found = last_failed(Request(stage=STAGE, command=words), "", runs)
    assert found.failed == ((SUITE, B),)
    assert found.command == (*words[:6], NEW, *words[6:])
    assert NEW in found.tests_source


def test_a_run_that_is_named_is_taken_and_the_command_stays(runs: Path) -> None:
    words = ("nox", "-s", "stage_a_amd", "--", "--last-failed", OLD)
    found = last_failed(Request(stage=STAGE, command=words), OLD, runs)
    assert (found.failed, found.command) == (((SUITE, A),), words)


def test_a_command_of_another_tool_is_left_alone(runs: Path) -> None:
    assert last_failed(Request(stage=STAGE, command=("x",)), "", runs).command == ("x",)


def test_without_any_run_there_is_nothing_to_repeat(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run of stage-a-amd"):
        last_failed(Request(stage=STAGE), "", tmp_path)


def test_a_run_of_another_stage_is_refused_with_its_own_command(runs: Path) -> None:
    with pytest.raises(UsageError) as caught:
        last_failed(Request(stage="stage-b-amd"), OLD, runs)
    assert f"nox -s stage_a_amd -- --last-failed {OLD}" in caught.value.then


def test_a_run_in_which_nothing_failed_selects_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, OLD, {A: "passed"})
    with pytest.raises(NothingSelectedError, match="nothing failed") as caught:
        last_failed(Request(stage=STAGE), "", tmp_path)
    assert caught.value.exit_code is ExitCode.NOTHING_SELECTED


def test_a_run_of_another_tree_says_nothing_of_this_one(tmp_path: Path) -> None:
    write_run(tmp_path, OLD, {A: "passed"})
    with pytest.raises(UsageError, match="is a run of the tests in /tree, this is /other") as caught:
        last_failed(Request(stage=STAGE), "", tmp_path, root="/other", checkout=True)
    assert OLD in caught.value.then
    with pytest.raises(UsageError, match="is a run of the tests in /tree, this is /copy"):
        last_failed(Request(stage=STAGE), "", tmp_path, root="/copy")


def test_a_run_that_is_named_may_be_of_the_same_tree_elsewhere(runs: Path) -> None:
    assert last_failed(Request(stage=STAGE), NEW, runs, root="/copy").failed == ((SUITE, B),)
    with pytest.raises(UsageError, match="is a run of the tests in /tree"):
        last_failed(Request(stage=STAGE), NEW, runs, root="/sglang", checkout=True)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "zeros": lambda data: b"\0" * len(data),
    "garbage": lambda data: b"garbage\n" * len(data),
    "no start": lambda data: data[data.index(b"\n") + 1 :],
    "no end": lambda data: data[: data.rindex(b"\n", 0, -1) + 1],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_record_that_is_not_whole_is_not_one_in_which_nothing_failed(tmp_path: Path, name: str) -> None:
    events = write_run(tmp_path, OLD, {A: "passed"}) / "events.jsonl"
    events.write_bytes(DAMAGE[name](events.read_bytes()))
    with pytest.raises(UsageError, match=f"what failed in {OLD} is not known") as caught:
        last_failed(Request(stage=STAGE), "", tmp_path)
    assert len(caught.value.problems) in (1, 2, 3)


def test_a_test_whose_end_cannot_be_read_counts_as_failed(tmp_path: Path) -> None:
    events = write_run(tmp_path, OLD, {A: "passed", B: "passed"}) / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"test-ended"', b'"test-ended', 1))
    assert last_failed(Request(stage=STAGE), "", tmp_path).failed == ((SUITE, A),)


def test_the_newest_run_counts_also_when_it_has_no_record(runs: Path) -> None:
    (runs / NEW / "events.jsonl").unlink()
    with pytest.raises(UsageError, match=f"{NEW} has no record"):
        last_failed(Request(stage=STAGE), "", runs)


def test_the_plan_of_a_run_is_cut_to_what_failed(runs: Path) -> None:
    part = failed_part(catalog(), plan(), NEW, runs)
    assert [test.id for suite in part.work.suites for test in suite.tests] == [B]


def test_a_comparison_names_what_passed_there_and_fails_here_first(runs: Path) -> None:
    baseline = baseline_of(OLD, runs, stage=STAGE)
    assert (baseline.run, baseline.passed) == (OLD, ((SUITE, B),))
    here = fold(read_events(runs / NEW / "events.jsonl"))
    compared = replace(here, start=replace(here.start, baseline=baseline))
    assert [test.id for test in compared.regressions] == [B]
    assert baseline_words(compared) == f"1 passed in {OLD} (commit {baseline.commit[:12]}) and fail here: {B}"
    backwards = baseline_of(NEW, runs, stage=STAGE)
    same = replace(compared, start=replace(compared.start, baseline=backwards))
    assert baseline_words(same).startswith("nothing that passed in")


def test_a_comparison_with_a_run_of_another_stage_is_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="is a run of stage-a-amd, this is stage-b-amd"):
        baseline_of(OLD, runs, stage="stage-b-amd")
