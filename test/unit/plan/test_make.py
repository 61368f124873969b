"""Plans: what is selected, what is refused, what the digest sees."""

import json
from dataclasses import replace

import pytest

from ci.catalog.environment import PassThrough
from ci.catalog.envsets import STEP_FILES
from ci.catalog.executors import ExecutorKind
from ci.errors import ExitCode, InfrastructureError, NothingSelectedError, Problem, UsageError
from ci.plan.environment import pass_through_names
from ci.plan.facts import Known
from ci.plan.model import SCHEMA, Plan
from ci.plan.request import Request
from ci.plan.shards import Shard
from support.planning import (
    STAGE_A,
    STAGE_B_SMALL,
    catalog,
    discovery,
    facts,
    mi300x,
    planned,
    registration,
    request,
)

ROWS = [
    registration(f"test/registered/amd/test_{number}.py", est_time_s=10 * number) for number in range(1, 6)
]
B_ROWS = [
    registration(f"test/registered/b/test_{number:02}.py", STAGE_B_SMALL, est_time_s=10 + number)
    for number in range(6)
]


def ids(plan: Plan) -> list[str]:
    return [test.id for suite in plan.work.suites for test in suite.tests]


def test_a_laptop_rehearses_with_the_stand_in() -> None:
    plan = planned(catalog(), facts(ROWS), request())
    assert plan.work.rehearsal
    assert (plan.work.engine, plan.work.hardware_class, plan.work.image) == ("llamacpp", "cpu", None)
    assert ids(plan) == [row.file for row in reversed(ROWS)], "longest first"


def test_an_invalid_file_stops_our_own_tests_and_not_those_of_a_checkout() -> None:
    own, other = "no main block", "is not Python"
    tests = discovery(
        ROWS,
        [Problem(where=f"{ROWS[0].file}:3", what=own), Problem(where="test/registered/x.py:1", what=other)],
    )
    with pytest.raises(UsageError) as caught:
        planned(catalog(), facts(ROWS, tests=tests), request())
    assert [problem.what for problem in caught.value.problems] == [own, other]
    checkout = Known(value="a" * 40, source="git")
    plan = planned(catalog(), facts(ROWS, tests=tests, checkout=checkout), request())
    assert ids(plan) == [row.file for row in reversed(ROWS)]
    assert f"{ROWS[0].file}:3: {own}" in plan.notes
    assert "problems in other files of the checkout: 1; nox -s check -- --checkout /tree" in plan.notes


def test_a_gpu_box_runs_the_real_engine_on_what_fits_and_says_what_does_not() -> None:
    rows = [
        *B_ROWS,
        registration("test/registered/two.py", "stage-b-test-2-gpu-amd"),
        registration("test/registered/mi35x.py", "stage-b-test-1-gpu-west-amd"),
    ]
    plan = planned(catalog(), mi300x(rows, gpus=1), request("stage-b-amd"))
    assert (plan.work.engine, plan.work.rehearsal) == ("sglang", False)
    assert set(ids(plan)) == {row.file for row in B_ROWS}
    reasons = {row.suite: row.because for row in plan.left_out}
    assert reasons["2-gpu"] == "needs 2 GPUs, this machine has 1"
    assert reasons["1-gpu-west"] == "needs mi35x, this machine is mi300x (mi30x)"


def test_a_machine_on_which_nothing_fits_is_exit_3_with_the_reasons() -> None:
    row = registration("test/registered/v4.py", "nightly-amd-8-gpu-west-big-flash", nightly=True)
    with pytest.raises(NothingSelectedError) as caught:
        planned(catalog(), mi300x([row]), request("nightly-big-amd"))
    assert caught.value.exit_code == ExitCode.NOTHING_SELECTED
    assert "needs mi35x, this machine is mi300x" in caught.value.render()


def test_shards_partition_the_suite_and_have_the_shards_own_limit() -> None:
    seen: list[str] = []
    for index in range(1, 4):
        asked = request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=index, count=3))
        plan = planned(catalog(), facts(B_ROWS), asked)
        assert plan.work.suites[0].timeout_s == 40 * 60
        seen += ids(plan)
    assert sorted(seen) == [row.file for row in B_ROWS]


def test_the_whole_suite_gets_the_time_of_all_its_shards() -> None:
    plan = planned(catalog(), facts(B_ROWS), request("stage-b-amd", suites=("1-gpu-small",)))
    assert plan.work.suites[0].timeout_s == 5 * 40 * 60
    assert "5 shards of 40 min" in plan.sources["work.suites.1-gpu-small.timeout_s"]


def test_a_shard_beyond_the_tests_is_empty_and_no_error() -> None:
    asked = request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=9, count=9))
    plan = planned(catalog(), facts(B_ROWS), asked)
    assert ids(plan) == []
    assert plan.work.suites[0].shard == Shard(index=9, count=9)


def test_a_named_test_is_run_in_its_shard_and_refused_in_another_with_the_shard_that_has_it() -> None:
    def asked(index: int, *tests: str) -> Request:
        shard = Shard(index=index, count=3)
        return request("stage-b-amd", suites=("1-gpu-small",), shard=shard, tests=tests)

    first = planned(catalog(), facts(B_ROWS), asked(1)).work.suites[0].tests[0].id
    (suite,) = planned(catalog(), facts(B_ROWS), asked(1, f"{first}::test_x")).work.suites
    assert [(test.id, test.cases) for test in suite.tests] == [(first, (f"{first}::test_x",))]
    for index in (2, 3):
        with pytest.raises(UsageError) as caught:
            planned(catalog(), facts(B_ROWS), asked(index, first))
        assert f"--test: {first} is in shard 1/3, not in {index}/3" in caught.value.render()
        assert "--shard 1/3" in caught.value.render()


def test_a_shard_of_a_whole_stage_is_refused_with_the_suites_and_their_counts() -> None:
    with pytest.raises(UsageError, match="cannot plan") as caught:
        planned(catalog(), facts(B_ROWS), request("stage-b-amd", shard=Shard(index=1, count=2)))
    assert "1-gpu-small has 5" in caught.value.render()


def test_every_problem_of_a_request_is_reported_at_once() -> None:
    asked = request(
        suites=("1-gpu-smal",),
        tests=("test_9.py",),
        env=(("HF_TOKEN", "x"), ("AMD_CI_SPEC", "y"), ("GITHUB_ENV", "z")),
        engine="vllm",
    )
    with pytest.raises(UsageError) as caught:
        planned(catalog(), facts(ROWS), asked)
    text = caught.value.render()
    for part in (
        "did you mean '1-gpu-small'",
        "'test_9.py'",
        "HF_TOKEN looks like a secret",
        "AMD_CI_SPEC",
        "GITHUB_ENV is for the steps of a job",
        "'vllm'",
    ):
        assert part in text
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("name", ["test/registered/amd/test_3.py", "amd/test_3.py", "test_3.py"])
def test_a_test_is_named_by_its_path_or_a_unique_end_of_it(name: str) -> None:
    assert ids(planned(catalog(), facts(ROWS), request(tests=(name,)))) == ["test/registered/amd/test_3.py"]


def test_cases_of_one_file_are_kept_and_the_whole_file_wins() -> None:
    asked = request(tests=("test_3.py::test_a", "test_3.py::test_b[x::y]"))
    (test,) = planned(catalog(), facts(ROWS), asked).work.suites[0].tests
    assert test.cases == (
        "test/registered/amd/test_3.py::test_a",
        "test/registered/amd/test_3.py::test_b[x::y]",
    )
    (test,) = (
        planned(catalog(), facts(ROWS), request(tests=("test_3.py::test_a", "test_3.py")))
        .work.suites[0]
        .tests
    )
    assert test.cases == ()


def test_a_test_of_another_stage_is_refused_with_the_command_that_runs_it() -> None:
    with pytest.raises(UsageError) as caught:
        planned(catalog(), facts([*ROWS, *B_ROWS]), request(tests=("b/test_01.py",)))
    assert "nox -s stage_b_amd -- --suite 1-gpu-small --test b/test_01.py" in caught.value.render()


def test_disabled_and_wrongly_nightly_registrations_are_named() -> None:
    rows = [
        *ROWS,
        registration("test/registered/off.py", disabled="crashes, sgl-project/sglang#1"),
        registration("test/registered/night.py", nightly=True),
    ]
    plan = planned(catalog(), facts(rows), request())
    assert ids(plan) == [row.file for row in reversed(ROWS)]
    assert any("off.py" in note and "crashes" in note for note in plan.notes)
    assert any("night.py" in note and "nightly" in note for note in plan.notes)


def test_a_broken_registration_stops_a_run_but_not_a_named_test() -> None:
    broken = Problem(where="test/registered/x.py:3", what="est_time is missing")
    here = facts(ROWS, tests=discovery(ROWS, [broken]))
    with pytest.raises(UsageError, match="cannot plan") as caught:
        planned(catalog(), here, request())
    assert "test/registered/x.py:3" in caught.value.render()
    plan = planned(catalog(), here, request(tests=("test_3.py",)))
    assert any("test/registered/x.py:3" in note for note in plan.notes)


def test_an_engine_that_is_not_installed_is_infrastructure() -> None:
    with pytest.raises(InfrastructureError, match="sglang is not installed") as caught:
        planned(catalog(), mi300x(ROWS, engines={}), request(executor=ExecutorKind.HOST))
    assert "--python PATH" in caught.value.render()


def test_a_rehearsal_without_its_engine_names_the_session_that_has_it() -> None:
    with pytest.raises(InfrastructureError, match="llamacpp is not installed") as caught:
        planned(catalog(), facts(ROWS, engines={}), request())
    assert "nox -s plan -- stage-a-amd" in caught.value.render()
    assert "--hardware cpu" not in caught.value.render()


def test_the_digest_sees_what_decides_a_verdict_and_nothing_else() -> None:
    base = planned(catalog(), facts(ROWS), request())
    elsewhere = facts(
        ROWS,
        host="ci-7",
        user="runner",
        root="/home/runner/x",
        runs_dir="/tmp/runs",
        environ={"PATH": "/opt"},
    )
    assert planned(catalog(), elsewhere, request()).digest == base.digest
    changes = [
        planned(catalog(), facts(ROWS), request(env=(("USE_KERNELS", "0"),))),
        planned(catalog(), facts(ROWS[:-1]), request()),
        planned(catalog(), facts(ROWS, commit=Known(value="b" * 40, source="git")), request()),
        planned(catalog(), facts(ROWS), request(fail_fast=True)),
        planned(catalog(), facts(ROWS), request(pytest_args=("-k", "x"))),
        planned(catalog(), mi300x(ROWS), request()),
    ]
    digests = {base.digest, *(plan.digest for plan in changes)}
    assert len(digests) == 1 + len(changes)


def test_the_digest_does_not_depend_on_the_order_of_discovery() -> None:
    assert (
        planned(catalog(), facts(ROWS[::-1]), request()).digest
        == planned(catalog(), facts(ROWS), request()).digest
    )


def test_an_override_keeps_its_origin_and_a_shells_variable_is_named_as_ignored() -> None:
    here = facts(ROWS, environ={"PATH": "/usr/bin", "IN_CI": "0"})
    plan = planned(catalog(), here, request(env=(("USE_KERNELS", "0"),)))
    suite = plan.work.suites[0]
    assert suite.env["USE_KERNELS"] == "0"
    assert "base.BASE = '1'" in plan.sources["work.suites.1-gpu-small.env.USE_KERNELS"]
    assert suite.env["IN_CI"] == "1"
    assert any("IN_CI of your shell is ignored" in note for note in plan.notes)
    assert suite.env["TEST_MAX_RETRY"] == "0", "a hidden retry would make a flake look green"


def test_passed_through_variables_stand_in_the_plan_by_name_only() -> None:
    here = facts(ROWS, environ={"PATH": "/usr/bin", "HF_TOKEN": "hf_canary", "LC_ALL": "C", "EDITOR": "vi"})
    plan = planned(catalog(), here, request())
    assert plan.placement.pass_through == ("HF_TOKEN", "LC_ALL", "PATH")
    assert "hf_canary" not in json.dumps(plan.to_json())


def test_files_of_a_step_are_never_passed_through() -> None:
    row = PassThrough(names=(), prefixes=("GITHUB_",), why="test")
    environ = dict.fromkeys([*STEP_FILES, "GITHUB_SHA"], "x")
    rows = replace(catalog(), pass_through=(row,))
    assert pass_through_names(rows, environ, in_container=False) == ("GITHUB_SHA",)


@pytest.mark.parametrize(
    ("event", "label"),
    [
        ("pull_request", "linux-north-1gpu"),
        ("schedule", "linux-south-1gpu"),
        ("workflow_dispatch", "linux-north-1gpu"),
    ],
)
def test_an_event_goes_to_its_pool(event: str, label: str) -> None:
    here = facts(ROWS, event=Known(value=event, source="GITHUB_EVENT_NAME"))
    assert planned(catalog(), here, request()).placement.runner_labels == {"1-gpu-small": label}


def test_an_unknown_commit_makes_the_digest_partial_and_says_why() -> None:
    here = facts(ROWS, commit=Known(value="", source="unknown, because git says: dubious ownership"))
    plan = planned(catalog(), here, request())
    assert plan.work.commit == "unknown"
    assert "dubious ownership" in plan.partial[0]


def test_a_plan_of_another_schema_says_which_version_reads_it_and_what_to_do() -> None:
    data = planned(catalog(), facts(ROWS), request()).to_json() | {"schema": SCHEMA - 1}
    with pytest.raises(
        UsageError, match=f"a plan of schema {SCHEMA - 1}; this version reads {SCHEMA}"
    ) as caught:
        Plan.from_json(data, where="plan.json")
    assert "nox -s plan -- STAGE --json > plan.json" in caught.value.then


def test_the_wrong_engine_for_the_hardware_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        planned(catalog(), mi300x(ROWS), request(engine="llamacpp"))
    assert "llamacpp does not serve mi300x, sglang does" in caught.value.render()


def test_jobs_gpus_is_as_many_as_the_gpus_allow() -> None:
    assert planned(catalog(), mi300x(ROWS), request(jobs="gpus")).work.jobs == 8
    assert planned(catalog(), facts(ROWS), request(jobs="gpus")).work.jobs == 1


def test_more_tests_at_a_time_than_have_ports_are_refused() -> None:
    most = catalog().limits.agent.slots_max
    many = replace(facts(ROWS), cpus=10 * most)
    plan = planned(catalog(), many, request(jobs="gpus"))
    assert plan.work.jobs == most
    assert any(f"{most} tests at a time, not {10 * most}" in note for note in plan.notes)
    with pytest.raises(UsageError, match=f"at most {most} tests at a time") as error:
        planned(catalog(), many, request(jobs=str(most + 1)))
    assert error.value.then == f"--jobs {most}"


def test_a_variable_that_is_given_to_one_suite_stays_each_tests_own_in_the_others() -> None:
    own = catalog().slots.own[0].name
    plan = planned(catalog(), facts(ROWS), request(jobs="2", env=((own, "/warm"),)))
    assert own in {row.name for row in plan.work.sharing.variables}


def test_suites_are_taken_by_short_id_and_by_sglangs_name() -> None:
    plans = [planned(catalog(), facts(ROWS), request(suites=(name,))) for name in ("1-gpu-small", STAGE_A)]
    assert plans[0].digest == plans[1].digest
