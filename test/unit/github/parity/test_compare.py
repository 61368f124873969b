"""A job in Actions and the same command on a machine: what may differ and what may not."""

from dataclasses import replace
from pathlib import Path

import pytest

from ci.cli.parity import read_side
from ci.github.parity.compare import Side, check_parity
from ci.github.parity.plans import full_runs, planner
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
        planner(catalog(), machine(), read_side, str(tree)),
        tree="c" * 40,
    )
    assert found.faults == ()
    assert len(found.digests) == len(wanted) == 1


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
