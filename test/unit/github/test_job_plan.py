"""From what has changed to the jobs of a pull request, and what a full or a tried run does instead."""

from ci.errors import Problem
from ci.github.ci_request import Asked, read_ask
from ci.github.job_plan import JobPlan, plan_jobs
from ci.plan import select
from ci.plan.jobs import ChangedFile, Changes
from ci.plan.model import TestWork
from support.planning import STAGE_A, STAGE_B_SMALL, catalog, facts, registration

A, B = "test/registered/amd/test_a.py", "test/registered/amd/test_b.py"
HERE = facts([registration(A), registration(B, STAGE_B_SMALL)], hardware_class="mi300x")


def asked(event: str = "pull_request", *stages: str) -> Asked:
    problems: list[Problem] = []
    found = read_ask(catalog(), {}, workflow="", event=event, stages=stages, problems=problems)
    assert problems == []
    return found


def plan(request: Asked, changes: Changes | None, *, shadow: bool = False) -> JobPlan:
    tests: dict[str, tuple[TestWork, ...]] = dict(select.tests_of_suites(catalog(), HERE, request.suites))
    return plan_jobs(
        catalog(), request, changes, HERE.tests, tests, lambda *_: "image", event_source="test", shadow=shadow
    )


def changed(*files: str, uncommitted: int = 0) -> Changes:
    rows = tuple(ChangedFile(path=file, registered=True) for file in files)
    return Changes(tree="own", base="b", files=rows, uncommitted=uncommitted)


def sessions(made: JobPlan) -> set[str]:
    return {job.session for job in made.waves.jobs}


def test_a_changed_test_gets_the_job_of_its_suite_and_no_other() -> None:
    made = plan(asked(), changed(A))
    assert sessions(made) == {"stage_a_amd"}
    assert STAGE_B_SMALL in made.not_selected
    assert STAGE_A not in made.not_selected
    assert (made.would_skip, made.notes) == ((), ())
    assert {job.image for job in made.waves.jobs} == {"image"}


def test_a_suite_that_was_not_asked_for_is_not_selected_by_a_change() -> None:
    made = plan(asked("pull_request", "stage_b_amd"), changed(A, B))
    assert sessions(made) == {"stage_b_amd"}


def test_a_full_run_does_not_ask_what_has_changed() -> None:
    made = plan(asked("schedule"), None, shadow=True)
    assert sessions(made) == {"stage_a_amd", "stage_b_amd"}
    assert (made.shadow, made.would_skip, made.not_selected) == (False, (), ())
    assert made.full == "the event is schedule"


def test_while_the_rules_are_tried_every_suite_runs_and_what_they_would_leave_out_is_named() -> None:
    made = plan(asked(), changed(A), shadow=True)
    assert sessions(made) == {"stage_a_amd", "stage_b_amd"}
    assert {job.name for job in made.waves.jobs if job.session == "stage_b_amd"} == set(made.would_skip)
    assert made.shadow


def test_files_that_are_not_committed_are_not_looked_at_and_that_is_a_note() -> None:
    (note,) = plan(asked(), changed(A, uncommitted=3)).notes
    assert note.startswith("3 files are not committed")
