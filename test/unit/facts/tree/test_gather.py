"""A checkout's own facts."""

from pathlib import Path

import pytest

from ci.facts.tree.gather import gather_tree
from ci.plan.tree.model import CallKind, JobCell, Partition, TreeFacts
from support.catalog_files import catalog
from support.workflow_trees import GATE, REGISTER, RUNNER, write_workflow_tree


def read(tree: Path) -> TreeFacts:
    return gather_tree(tree, catalog().hardware)


@pytest.fixture
def facts(tmp_path: Path) -> TreeFacts:
    return read(write_workflow_tree(tmp_path))


def cells(facts: TreeFacts, job_id: str) -> tuple[JobCell, ...]:
    return next(job for job in facts.amd_jobs if job.id == job_id).cells


def test_registrars_roots_suites_and_defaults_of_the_tree(facts: TreeFacts) -> None:
    registry = facts.registry
    assert [(row.name, row.backend) for row in registry.registrars] == [
        ("register_amd_ci", "amd"),
        ("register_cuda_ci", "cuda"),
        ("register_local_ci", "local"),
    ]
    assert {(root.path, root.glob) for root in registry.roots} == {
        ("test/registered", "*.py"),
        ("python/kernels/tests", "test_*.py"),
    }
    assert {row.value for row in registry.exempt} == {"conftest.py", "__init__.py"}
    assert [row.name for row in registry.suites if row.backend == "amd"] == [
        "one-amd",
        "listed-amd",
        "nightly-amd",
    ]
    assert registry.checked == ("cuda",)
    assert registry.defaults.timeout_per_file_s is not None
    assert registry.defaults.timeout_per_file_s.value == 1000
    line = 1 + RUNNER[: RUNNER.index('"--timeout-per-file"')].count("\n")
    assert registry.defaults.timeout_per_file_s.source == f"run_suite.py:{line}"
    assert registry.partition.value is Partition.LONGEST_FIRST
    assert facts.unread == ()


def test_a_job_is_named_as_actions_shows_it_with_each_choice_of_its_inputs(facts: TreeFacts) -> None:
    assert [(cell.name, cell.inputs) for cell in cells(facts, "one")] == [
        ("one-amd (linux-south-1gpu, 0)", ()),
        ("one-amd (linux-south-1gpu, 1)", ()),
        ("one-amd (linux-north-1gpu, 0)", (("pool", "north"),)),
        ("one-amd (linux-north-1gpu, 1)", (("pool", "north"),)),
    ]


def test_what_a_job_runs_with_its_limits_and_variables(facts: TreeFacts) -> None:
    south, north = (cells(facts, "one")[number].calls[0] for number in (1, 3))
    assert (south.kind, south.suite, south.part, south.parts) == (CallKind.SUITE, "one-amd", 1, 2)
    assert (south.timeout_per_file_s, south.step_timeout_min, north.step_timeout_min) == (900, 50, 40)
    assert (south.env, south.sometimes) == ((("A_VARIABLE", "1"),), ("--continue-on-error",))
    assert south.source == "pr-amd.yml:26"
    assert south.runner == "test/run_suite.py"


def test_a_job_with_several_calls(facts: TreeFacts) -> None:
    (cell,) = cells(facts, "nightly-two")
    first, second, alone = cell.calls
    assert (cell.gpus, cell.container and cell.container.rocm.value) == (2, "rocm720")
    assert [dict(call.env)["BACKEND"] for call in (first, second)] == ["one", "two"]
    assert [(call.nightly, call.attempts) for call in (first, second)] == [(True, 1), (True, 2)]
    assert (alone.kind, alone.files) == (CallKind.FILES, ("test/registered/x/test_alone.py",))


def test_the_flavour_is_the_start_scripts_own_without_an_option(facts: TreeFacts) -> None:
    container = cells(facts, "one")[0].container
    assert container is not None
    assert (container.rocm.value, container.rocm.source) == ("rocm700", "amd_ci_start_container.sh:2")


def test_workflows_keep_their_rights_and_jobs_their_needs(facts: TreeFacts) -> None:
    workflow = facts.workflow(f"./{GATE}")
    assert workflow is not None
    job, gate = workflow.jobs
    assert (workflow.permissions, gate.permissions, job.permissions) == ({"contents": "read"}, {}, None)
    assert (job.needs, gate.uses) == (("gate",), "./.github/workflows/gate.yml")
    assert (job.amd, gate.amd) == (True, False)
    assert [each.id for each in facts.amd_jobs] == ["nightly-two", "one"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("--suite ${{ needs.x.outputs.suite }}", "the suite of late is known only at run time"),
        ('--suite "$SUITE"', "the suite of late is known only at run time: $SUITE"),
        (
            "--suite one-amd --auto-partition-id ${{ github.x }} --auto-partition-size 2",
            "the part of late is known only at run time",
        ),
        ("--suite 'one-amd", "cannot be split into words"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, steps: str, words: str) -> None:
    text = f"on: [push]\njobs:\n  late:\n    runs-on: linux-south-1gpu\n    steps:\n      - run: |\n          python3 test/run_suite.py --hw amd {steps}\n"
    facts = read(write_workflow_tree(tmp_path, {".github/workflows/late-amd.yml": text}))
    assert [str(problem) for problem in facts.unread if words in str(problem)]
    assert all(problem.where == ".github/workflows/late-amd.yml:7" for problem in facts.unread)


def test_an_input_that_a_caller_gives_makes_another_name(tmp_path: Path) -> None:
    called = "on: { workflow_call: { inputs: { rocm: { type: string, default: rocm720 } } } }\njobs:\n  extra:\n    name: extra-amd${{ inputs.rocm != 'rocm720' && format('-{0}', inputs.rocm) || '' }}\n    runs-on: linux-south-1gpu\n    steps: [{ run: python3 test/run_suite.py --hw amd --suite one-amd }]\n"
    caller = "on: [push]\njobs:\n  call:\n    uses: ./.github/workflows/extra-amd.yml\n    with: { rocm: rocm700 }\n"
    files = {".github/workflows/extra-amd.yml": called, ".github/workflows/caller-amd.yml": caller}
    facts = read(write_workflow_tree(tmp_path, files))
    assert [cell.name for cell in cells(facts, "extra")] == ["extra-amd", "extra-amd-rocm700"]
    assert next(job for job in facts.amd_jobs if job.id == "call").given == (("rocm", "rocm700"),)


@pytest.mark.parametrize(
    ("key", "rule"),
    [("f.filename", Partition.UNKNOWN), ("f.est_time, reverse=True", Partition.FILE_ORDER)],
)
def test_another_rule_of_parts_is_said(tmp_path: Path, key: str, rule: Partition) -> None:
    text = REGISTER.replace("(-f.est_time, f.filename)", key)
    facts = read(write_workflow_tree(tmp_path, {"python/sglang/test/ci/ci_register.py": text}))
    assert facts.registry.partition.value is rule
    assert [problem for problem in facts.unread if "by another rule than ours" in problem.what]


def test_a_tree_without_a_runner_has_facts(tmp_path: Path) -> None:
    tree = write_workflow_tree(tmp_path, {"test/run_suite.py": "def broken(:\n"})
    (tree / "python/sglang/test/ci/ci_register.py").unlink()
    facts = read(tree)
    assert (facts.registry.roots, facts.registry.registrars) == ((), ())
    assert {problem.where.partition(":")[0] for problem in facts.unread} == {
        "test/run_suite.py",
        "python/sglang/test/ci/ci_register.py",
    }


def test_a_folder_without_the_runners_own_path_lies_beside_the_runner(tmp_path: Path) -> None:
    text = 'import glob\n\n\ndef main():\n    return glob.glob("registered/**/*.py", recursive=True)\n'
    facts = read(write_workflow_tree(tmp_path, {"test/run_suite.py": text}))
    assert [(root.path, root.source) for root in facts.registry.roots] == [
        ("test/registered", "run_suite.py:5")
    ]


def test_a_runner_that_goes_by_the_event_is_that_of_a_pull_request_first(tmp_path: Path) -> None:
    text = """
    on: [schedule, pull_request, workflow_call]
    jobs:
      one:
        name: ${{ format('one ({0})', github.event_name == 'pull_request' && 'north' || 'south') }}
        runs-on: linux-south-1gpu
        steps: [{ run: python3 test/run_suite.py --hw amd --suite one-amd }]
    """
    facts = read(write_workflow_tree(tmp_path, {GATE: text}))
    assert [(cell.name, cell.inputs) for cell in cells(facts, "one")] == [
        ("one (north)", ()),
        ("one (south)", (("github.event_name", "schedule"),)),
    ]
    assert facts.unread == ()
