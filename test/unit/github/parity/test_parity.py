"""A job in Actions and the same command on a machine: what may differ, what may not, and how the YAML is read."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ci.catalog.decode import Reader
from ci.catalog.parity import load_parity
from ci.cli.parity import full_runs, planner
from ci.errors import Problem
from ci.github.parity.compare import Side, check_parity
from ci.github.parity.stage_job import StageJob, read_stage_job
from support.parity import EVENT, faults, jobs, machine, parity, plan_of, stage_text
from support.planning import catalog
from support.trees import write_sglang_tree

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # git says the commit of the plans


def test_every_job_of_a_full_run_is_what_a_machine_would_run() -> None:
    found = parity()
    assert found.faults == ()
    assert len(found.digests) == len(jobs()) > 10
    assert len(set(found.digests.values())) == len(jobs()), "two jobs have the same work"


def test_what_may_differ_is_only_where_and_for_whom() -> None:
    differing = {gap.path for gap in parity().gaps}
    assert {"placement.event", "placement.host", "placement.root", "placement.runs_dir"} <= differing
    assert not [path for path in differing if path.startswith("work")]
    assert all(gap.allowed for gap in parity().gaps)


def test_both_sides_plan_the_container_with_image_mounts_and_flags() -> None:
    nightly = catalog().actions.of_kind("tests")[1]
    plans = {
        job.name: plan_of()(
            Side(
                session=job.session,
                options=("--executor", "docker", "--suite", job.suite, "--shard", job.shard),
                environ={"AMD_CI_IMAGE": job.image, "RUNNER_NAME": job.runner},
                hardware=job.hardware,
                in_actions=True,
            )
        )
        for job in full_runs(catalog(), nightly, [EVENT])[EVENT]
    }
    assert plans
    for name, plan in plans.items():
        assert plan is not None
        work, place = plan.work.container, plan.placement.container
        assert work is not None, name
        assert place is not None, name
        assert (plan.work.image or "").startswith("sha256:"), name
        assert work.flavour == "rocm720", name
        assert work.options.shm_bytes > 0, name
        # these runners' names have west in them
        assert [mount.target for mount in place.mounts] == ["/cache"], name
        assert "placeholder" in plan.sources["work.image"], name


def test_an_sglang_tree_is_the_same_tree_under_two_names(tmp_path: Path) -> None:
    """The Actions side calls it by a path that is not on this machine; what is installed is read from the one that is."""
    suite = "stage-a-test-1-gpu-small-amd"
    test = f'register_amd_ci(est_time=1, suite="{suite}")\nif __name__ == "__main__":\n    main()\n'
    pin = 'FROM base AS gfx942\nENV AITER_COMMIT_DEFAULT="46e6c92b3e"\n'
    files: dict[str, str | bytes] = {"test/registered/test_a.py": test, "docker/rocm.Dockerfile": pin}
    tree = write_sglang_tree(tmp_path / "sglang", files)
    wanted = full_runs(catalog(), catalog().actions.of_kind("tests")[0], [EVENT], str(tree))[EVENT]
    suites = [row for row in catalog().suites if row.name == suite]
    found = check_parity(
        catalog(),
        stage_text(),
        {EVENT: wanted},
        suites,
        planner(catalog(), machine(), str(tree)),
        tree="c" * 40,
    )
    assert found.faults == ()
    assert len(found.digests) == len(wanted) == 1


def test_a_row_may_not_allow_work_to_differ(tmp_path: Path) -> None:
    (tmp_path / "parity.toml").write_text('[[allowed]]\npath = "work.suites.*"\nwhy = "w"\nsource = "s"\n')
    reader = Reader(tmp_path)
    load_parity(reader)
    assert "decides verdicts" in str(reader.problems[0])


def test_without_its_row_a_difference_is_a_fault() -> None:
    rules = catalog().parity
    fewer = replace(rules, allowed=tuple(row for row in rules.allowed if row.path != "placement.host"))
    found = parity(of=replace(catalog(), parity=fewer), suite="stage-a-test-1-gpu-small-amd")
    assert faults(found) == {"placement.host"}


def test_a_row_that_nothing_needs_is_named() -> None:
    row = replace(catalog().parity.allowed[0], path="placement.never")
    rules = replace(catalog().parity, allowed=(*catalog().parity.allowed, row))
    assert (
        "placement.never"
        in parity(of=replace(catalog(), parity=rules), suite="stage-c-test-4-gpu-amd").unused
    )


# --- the YAML -------------------------------------------------------------------------------------------------------------


def read(text: str, **inputs: str) -> tuple[StageJob | None, list[str]]:
    problems: list[Problem] = []
    found = read_stage_job(text, asdict(jobs()[0]), inputs, problems, where="stage.yml")
    return found, [str(problem) for problem in problems]


def test_the_stage_job_is_read_as_its_runner_gets_it() -> None:
    found, problems = read(stage_text())
    assert problems == []
    assert found is not None
    assert found.runner == jobs()[0].runner
    assert found.session == "stage_a_amd"
    assert found.options == (
        "--executor",
        "docker",
        "--suite",
        "1-gpu-small",
        "--shard",
        "1/1",
        "--checkout",
        "",
    )
    assert found.env["AMD_CI_RUNNER_LABEL"] == found.runner
    assert "HF_TOKEN" in found.secrets
    assert "HF_TOKEN" not in found.env


def test_inputs_fill_what_depends_on_them() -> None:
    found, _ = read(stage_text(), tree="a" * 40, aiter_ref="v1")
    assert found is not None
    assert found.options[-2:] == ("--checkout", "sglang")
    assert found.env["AMD_CI_AITER_REF"] == "v1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs: [", "is not YAML"),
        ("on: push", "is not exactly one job"),
        ("jobs: {a: {}, b: {}}", "is not exactly one job"),
        ("jobs: {a: {steps: [{run: echo}]}}", "0 of them start Nox"),
        (
            "jobs: {a: {steps: [{run: exec uvx nox@1 -s x}, {run: exec uvx nox@1 -s y}]}}",
            "2 of them start Nox",
        ),
        (
            "jobs: {a: {runs-on: '${{ matrix.gone }}', steps: [{run: exec uvx nox@1 -s x}]}}",
            "the matrix has no 'gone'",
        ),
        (
            "jobs: {a: {runs-on: '${{ vars.X }}', steps: [{run: exec uvx nox@1 -s x}]}}",
            "not understood: vars.X",
        ),
        ("jobs: {a: {timeout-minutes: soon, steps: [{run: exec uvx nox@1 -s x}]}}", "no number of minutes"),
    ],
)
def test_what_can_t_be_read_is_a_problem_and_no_guess(text: str, words: str) -> None:
    _, problems = read(text)
    assert words in "\n".join(problems)
