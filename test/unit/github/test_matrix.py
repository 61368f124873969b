"""Jobs from selected suites: waves, shards, labels and limits."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.workflows import WorkflowRow
from ci.errors import CiError, ExitCode
from ci.github.job_plan import check_size
from ci.github.matrix import Ask, Waves, make_waves, matrix_json, stage_waves, suites_of
from ci.plan.jobs import Choice, Reason
from ci.plan.model import TestWork
from support.planning import STAGE_A, STAGE_B_SMALL, catalog

PR, NIGHTLY = catalog().actions.of_kind("tests")
FOUR_GPU, EIGHT = "stage-c-test-4-gpu-amd", "stage-c-test-8-gpu-amd"
WHY = Reason(file="x.py", rule="house", why="test")


def work(name: str, est_s: float = 60) -> TestWork:
    return TestWork(id=name, path=name, kind="pytest", cases=(), est_s=est_s, timeout_s=60, env={})


def ask(event: str = "pull_request", **changes: Any) -> Ask:
    return Ask(
        **{"event": event, "at_once": False, "pool": "", "rocm": "", "continue_on_error": False, **changes}
    )


def waves(
    choices: Mapping[str, frozenset[str] | None],
    tests: Mapping[str, int],
    asked: Ask | None = None,
    workflow: WorkflowRow = PR,
) -> Waves:
    """Waves of these suites (None: whole) with so many tests each, named t0, t1 ... from the longest on."""
    return make_waves(
        catalog(),
        {name: Choice(suite=name, tests=only, reasons=(WHY,)) for name, only in choices.items()},
        {
            name: [work(f"t{number}", 100 - number) for number in range(count)]
            for name, count in tests.items()
        },
        stage_waves(catalog(), workflow),
        asked or ask(),
        lambda family, rocm: f"{family}-{rocm}@sha256:1",
    )


def test_stages_wait_for_each_other_on_a_pull_request_and_not_in_a_full_run() -> None:
    suites = dict.fromkeys((STAGE_A, STAGE_B_SMALL, FOUR_GPU))
    tests = {STAGE_A: 1, STAGE_B_SMALL: 2, FOUR_GPU: 1}
    assert [len(wave) for wave in waves(suites, tests).waves] == [1, 2, 1]
    assert [len(wave) for wave in waves(suites, tests, ask("schedule", at_once=True)).waves] == [4, 0, 0]


def test_a_job_holds_everything_that_its_runner_needs() -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}, ask("schedule", continue_on_error=True)).jobs
    assert asdict(job) == {
        "name": "stage-c-test-4-gpu-amd (linux-south-4gpu)",
        "session": "stage_c_amd",
        "suite": "4-gpu",
        "shard": "1/1",
        "runner": "linux-south-4gpu",
        "timeout_minutes": catalog().actions.job_limit_min(70 * 60),
        "step_timeout_minutes": catalog().actions.step_limit_min(70 * 60),
        "image": "mi30x-700@sha256:1",
        "rocm": "700",
        "hardware": "mi325x",
        "continue_on_error": "true",
        "digest": "",
    }


def test_shards_without_tests_get_no_job_and_are_named() -> None:
    made = waves({STAGE_B_SMALL: None, EIGHT: None}, {STAGE_B_SMALL: 3})
    assert [job.name for job in made.jobs] == [
        f"{STAGE_B_SMALL} (linux-north-1gpu, {number}/5)" for number in (1, 2, 3)
    ]
    reasons = {row.suite: row.because for row in made.not_made}
    assert reasons[STAGE_B_SMALL].startswith("shards 4/5, ")
    assert reasons[STAGE_B_SMALL].endswith("are empty: the suite has 3 tests")
    assert reasons[EIGHT] == "no enabled test is registered for it"


def test_a_single_test_gets_the_shard_that_holds_it() -> None:
    made = waves({STAGE_B_SMALL: frozenset({"t16"})}, {STAGE_B_SMALL: 20})
    (job,) = made.jobs
    (whole,) = [
        part for part in waves({STAGE_B_SMALL: None}, {STAGE_B_SMALL: 20}).jobs if part.shard == job.shard
    ]
    assert whole == job
    assert any("hold no test that was selected" in row.because for row in made.not_made)


@pytest.mark.parametrize(
    ("event", "pool", "label"),
    [
        ("pull_request", "", "linux-north-4gpu"),
        ("schedule", "", "linux-south-4gpu"),
        ("workflow_dispatch", "", "linux-north-4gpu"),
        ("workflow_dispatch", "south", "linux-south-4gpu"),
        ("push", "", "linux-north-4gpu"),
    ],
)
def test_event_and_pool_choose_the_label(event: str, pool: str, label: str) -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}, ask(event, pool=pool)).jobs
    assert job.runner == label
    assert job.hardware == ("mi325x" if "south" in label else "mi300x")


def test_a_pool_and_a_flavour_touch_only_what_they_can() -> None:
    name = "stage-b-test-1-gpu-west-amd"
    (job,) = waves({name: None}, {name: 1}, ask("workflow_dispatch", pool="south", rocm="724")).jobs
    assert (job.runner, job.hardware, job.rocm) == ("linux-west-1gpu", "mi355x", "724")
    flash = "nightly-amd-8-gpu-west-big-flash"
    (job,) = waves({flash: None}, {flash: 4}, workflow=NIGHTLY).jobs
    assert job.rocm == "720"


@given(
    st.dictionaries(
        st.sampled_from([suite.name for suite in suites_of(catalog(), PR)]), st.integers(0, 40), max_size=6
    ),
    st.booleans(),
)
def test_every_selected_test_is_in_exactly_one_job(tests: dict[str, int], at_once: bool) -> None:  # noqa: FBT001
    made = waves(dict.fromkeys(tests), tests, ask(at_once=at_once))
    for name, count in tests.items():
        suite = next(suite for suite in catalog().suites if suite.name == name)
        jobs = [job for job in made.jobs if job.name.startswith(f"{name} (")]
        assert len(jobs) == min(count, suite.shards)
        assert len({job.shard for job in jobs}) == len(jobs)
    assert json.loads(matrix_json(made.jobs))["include"] == [asdict(job) for job in made.jobs]
    assert "\n" not in matrix_json(made.jobs)


def test_a_matrix_that_is_too_large_is_refused() -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}).jobs
    check_size(Waves(waves=((job,) * 256,), not_made=()))
    with pytest.raises(CiError, match="may have 256") as caught:
        check_size(Waves(waves=((job,) * 257,), not_made=()))
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_stages_wave_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = catalog().stages
    waves_ = {
        row.id: stage_waves(catalog(), PR)[row.id] for row in rows if row.id in stage_waves(catalog(), PR)
    }
    assert list(waves_.values()) == [1, 2, 3]
    assert stage_waves(replace(catalog(), stages=rows[::-1]), PR) == waves_


def test_stages_that_wait_for_each_other_have_waves_nevertheless() -> None:
    first, second, *_ = catalog().stages
    circle = (replace(first, after=(second.id,)), replace(second, after=(first.id,)))
    assert stage_waves(replace(catalog(), stages=circle), PR) == {first.id: 1, second.id: 2}
