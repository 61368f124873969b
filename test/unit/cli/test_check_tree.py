"""`nox -s check -- --checkout PATH`: a small tree for each kind of finding, whose marks name the lines; and how it is shown."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.cli.main import main
from ci.plan.outages.model import KINDS, FindingKind, Severity
from support.trees import registrations, write_sglang_tree, write_stub_tree

MARK = re.compile(r"# finding: (.+)$")
WORKFLOW = ".github/workflows/amd.yml"
RUNNER = "test/run_suite.py"
REGISTER = "python/sglang/test/ci/ci_register.py"
SMALL = "stage-b-small-amd"

REGISTER_TEXT = """
def register_amd_ci(est_time, suite, nightly=False, disabled=None): ...
def register_cuda_ci(est_time, suite, nightly=False, disabled=None): ...
REGISTER_MAPPING = {"register_amd_ci": HWBackend.AMD, "register_cuda_ci": HWBackend.CUDA}
def auto_partition(files, rank, size):
    todo = sorted(files, key=lambda f: (-f.est_time, f.filename))
    sums = [0] * size
    for f in todo:
        lightest = min(range(size), key=sums.__getitem__)
"""
RUNNER_TEXT = """
import glob
SUITES = {HWBackend.AMD: ["stage-b-small-amd", "stage-b-large-amd"], HWBackend.CUDA: ["base-b-small"]}
_SUITE_CHECKED_BACKENDS = {HWBackend.CUDA}
def run(parser):
    files = glob.glob("registered/**/*.py", recursive=True)
    parser.add_argument("--timeout-per-file", default=1200)
    parser.add_argument("--retry-timeout-increase", default=600)
"""


def one_test(*calls: str) -> str:
    lines = ["import unittest", *calls, "class TestIt(unittest.TestCase):", "    pass"]
    return "\n".join([*lines, 'if __name__ == "__main__":', "    unittest.main()", ""])


def amd(suite: str = SMALL, est: int = 60, more: str = "", mark: str = "") -> str:
    return f'register_amd_ci(est_time={est}, suite="{suite}"{more})' + (
        f"  # finding: {mark}" if mark else ""
    )


def step(suite: str = SMALL, options: str = "", mark: str = "", limit: int | None = 30) -> str:
    run = f"python3 run_suite.py --hw amd --suite {suite} {options}"
    timed = f"      - timeout-minutes: {limit}\n        run: " if limit is not None else "      - run: "
    return f"{timed}{run}" + (f"  # finding: {mark}" if mark else "") + "\n"


def job(name: str = "small", *, lines: str = "", steps: str = "", head: str = "") -> str:
    timeout = "" if "timeout-minutes" in lines else "    timeout-minutes: 60\n"
    return f"  {name}:{head}\n    runs-on: linux-mi300-1gpu-sglang\n{timeout}{lines}    steps:\n{steps or step()}"


def matrix(parts: str) -> str:
    return f"    strategy:\n      matrix:\n        part: [{parts}]\n"


def workflow(*jobs: str, top: str = "on: [pull_request]\n") -> str:
    return f"name: AMD\n{top}jobs:\n" + "".join(jobs)


PART = "--auto-partition-id ${{ matrix.part }} --auto-partition-size 3 --timeout-per-file 600"
THREE = {f"test/registered/test_{n}.py": one_test(amd()) for n in range(3)}
ONE = {"test/registered/test_0.py": one_test(amd())}
ALWAYS = "    if: always()\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo done\n"

# Every kind that one tree shows by itself, with all of its lines marked.
TREES: Mapping[FindingKind, Mapping[str, str]] = {
    FindingKind.SUITE_NOT_RUN: {
        WORKFLOW: workflow(job()),
        **ONE,
        "test/registered/test_lost.py": one_test(amd("stage-b-large-amd", mark="suite-not-run")),
        "test/registered/test_off.py": one_test(amd("stage-b-large-amd", more=', disabled="slow"')),
        "test/registered/test_night.py": one_test(amd(more=", nightly=True", mark="suite-not-run")),
    },
    FindingKind.SUITE_REFUSED: {
        WORKFLOW: workflow(job()),
        **ONE,
        "test/registered/test_cuda.py": one_test(
            'register_cuda_ci(est_time=9, suite="base-b-smal")  # finding: suite-refused'
        ),
    },
    FindingKind.SUITE_OF_CUDA: {
        WORKFLOW: workflow(job()),
        **ONE,
        "test/registered/test_cuda.py": one_test(amd("base-b-small", mark="suite-not-run, suite-of-cuda")),
    },
    FindingKind.OUTSIDE_ROOTS: {
        WORKFLOW: workflow(job()),
        **ONE,
        "python/sglang/kernels/test_left.py": one_test(amd(mark="outside-roots")),
        "test/registered/__init__.py": "",
        RUNNER: RUNNER_TEXT.replace(
            "recursive=True)",
            "recursive=True)\n    files = [f for f in files if not f.endswith('/__init__.py')]",
        ),
    },
    FindingKind.REGISTRAR_UNKNOWN: {
        WORKFLOW: workflow(job()),
        **ONE,
        "test/registered/test_a.py": "import unittest  # finding: registrar-unknown\nregister_new_ci(est_time=9)\n",
        "test/registered/test_b.py": "import unittest\nregister_new_ci(est_time=9)\n",
    },
    FindingKind.REGISTRATION_INVALID: {
        WORKFLOW: workflow(job()),
        **ONE,
        "test/registered/test_a.py": one_test(
            f'register_amd_ci(est_time=60 + x, suite="{SMALL}")  # finding: registration-invalid'
        ),
        "test/registered/test_b.py": one_test('register_cuda_ci(est_time=60 + x, suite="base-b-small")'),
    },
    FindingKind.PART_NOT_RUN: {
        WORKFLOW: workflow(job(lines=matrix("0, 2"), steps=step(options=PART, mark="part-not-run"))),
        **THREE,
    },
    FindingKind.PART_INVALID: {
        WORKFLOW: workflow(
            job(lines=matrix("0, 1, 2, 3"), steps=step(options=PART, mark="part-invalid")),
            job("keyless", steps=step(options=PART, mark="part-invalid")),
            job("half", steps=step(options="--auto-partition-id 1", mark="part-invalid")),
        ),
        **THREE,
    },
    FindingKind.PART_TWICE: {
        WORKFLOW: workflow(
            job(lines=matrix("0, 1, 2"), steps=step(options=PART)),
            job("again", steps=step(options=PART.replace("${{ matrix.part }}", "1"), mark="part-twice")),
            # another machine is another lane
            job("other", steps=step(options=PART.replace("${{ matrix.part }}", "1"))).replace(
                "mi300", "mi325"
            ),
        ),
        **THREE,
    },
    FindingKind.PART_IDLE: {
        WORKFLOW: workflow(job(lines=matrix("0, 1, 2"), steps=step(options=PART, mark="part-idle"))),
        **ONE,
    },
    FindingKind.FILE_LIMIT: {
        WORKFLOW: workflow(job()),
        "test/registered/test_long.py": one_test(amd(est=1300, mark="file-limit")),
        "test/registered/test_short.py": one_test(amd(est=60)),
    },
    FindingKind.STEP_LIMIT: {
        WORKFLOW: workflow(
            job(steps=step(limit=20, mark="step-limit") + step(limit=10, mark="step-limit")),
            job("enough", steps=step(limit=30)),
            job("narrowed", steps=step().replace("run: ", "run: ACCURACY_ONLY=1 ").replace(": 30", ": 20")),
        ),
        "test/registered/test_a.py": one_test(amd(est=700)),
        "test/registered/test_b.py": one_test(amd(est=700)),
    },
    FindingKind.JOB_LIMIT: {
        WORKFLOW: workflow(
            job(
                head="  # finding: job-limit",
                lines="    timeout-minutes: 20\n",
                steps=step(limit=20) + step(limit=20),
            ),
            job("inner", lines="    timeout-minutes: 40\n", steps=step(limit=50, mark="job-limit")),
        ),
        "test/registered/test_a.py": one_test(amd(est=700)),
    },
    FindingKind.STEP_UNLIMITED: {
        WORKFLOW: workflow(job(lines="", steps=step(limit=None, mark="step-unlimited"))).replace(
            "    timeout-minutes: 60\n", ""
        ),
        **ONE,
    },
    FindingKind.SUITE_EMPTY: {
        WORKFLOW: workflow(
            job(),
            job("wrong", steps=step("stage-b-smal-amd", mark="suite-empty")),
            job("off", steps=step("stage-b-large-amd", mark="suite-empty")),
        ),
        **ONE,
        "test/registered/test_off.py": one_test(amd("stage-b-large-amd", more=', disabled="slow"')),
    },
    FindingKind.PERMISSIONS: {
        WORKFLOW: workflow(
            "  extra:  # finding: permissions\n    uses: ./.github/workflows/extra-amd.yml\n",
            "  fine:\n    permissions: write-all\n    uses: ./.github/workflows/extra-amd.yml\n",
            top="on: [pull_request]\npermissions:\n  contents: read\n",
        ),
        ".github/workflows/extra-amd.yml": workflow(
            job(), top="on: [workflow_call]\npermissions:\n  actions: write\n  contents: read\n"
        ),
        **ONE,
    },
    FindingKind.GATE_INCOMPLETE: {
        WORKFLOW: workflow(
            job("stage-a-one", lines=matrix("0, 1, 2"), steps=step(options=PART)),
            job("stage-a-two"),
            "  wait-for-stage-a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./.github/actions/wait\n        with:\n"
            '          jobs: \'[{"prefix": "stage-a-one", "expected_count": 2}]\'  # finding: gate-incomplete, gate-incomplete\n',
            job("stage-b-one", lines="    needs: [wait-for-stage-a, stage-a-two]\n"),
            job("kernels"),
            "  finish:  # finding: gate-incomplete\n    needs: [stage-a-one, stage-a-two, stage-b-one]\n"
            + ALWAYS,
        ),
        **THREE,
    },
    FindingKind.JOB_BLOCKED: {
        WORKFLOW: workflow(
            job(),
            job("typo", head="  # finding: job-blocked", lines="    needs: smal\n"),
            job("one", head="  # finding: job-blocked", lines="    needs: two\n"),
            job("two", head="  # finding: job-blocked", lines="    needs: [one]\n"),
        ),
        **ONE,
    },
    FindingKind.JOB_OFF: {
        WORKFLOW: workflow(job(), job("off", head="  # finding: job-off", lines="    if: ${{ false }}\n")),
        **ONE,
    },
    FindingKind.JOB_UNLIMITED: {
        WORKFLOW: workflow(job(head="  # finding: job-unlimited")).replace("    timeout-minutes: 60\n", ""),
        **ONE,
    },
    FindingKind.NOT_READ: {
        WORKFLOW: workflow(
            job(),
            job(
                "later",
                head="  # finding: not-read",
                lines="    strategy:\n      matrix: ${{ fromJSON(needs.small.outputs.m) }}\n",
            ),
        ),
        **ONE,
    },
}
OF_A_BASE = {
    FindingKind.REGISTRATION_LOST,
    FindingKind.REGISTRATION_GONE,
    FindingKind.REGISTRATION_DISABLED,
    FindingKind.SUITE_LOST,
    FindingKind.PART_LOST,
    FindingKind.LIMIT_LOOSENED,
    FindingKind.BOUND_LOOSENED,
    FindingKind.BOUND_LOST,
}


def make_tree(folder: Path, files: Mapping[str, str]) -> Path:
    return write_sglang_tree(folder, {REGISTER: REGISTER_TEXT, RUNNER: RUNNER_TEXT, **files})


def marked(tree: Path) -> list[tuple[str, str]]:
    return sorted(
        (f"{path.relative_to(tree)}:{number}", kind)
        for path in tree.rglob("*.*")
        if path.is_file()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (found := MARK.search(line))
        for kind in found[1].split(", ")
    )


def found(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    data = json.loads(capsys.readouterr().out)
    return sorted((f"{row['file']}:{row['line']}", row["kind"]) for row in data["findings"])


def test_there_is_a_tree_for_every_kind() -> None:
    assert set(TREES) | OF_A_BASE == set(FindingKind) == set(KINDS)


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_has_the_findings_that_its_lines_are_marked_with_and_no_other(
    kind: FindingKind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_tree(tmp_path / "tree", TREES[kind])
    code = main(["check", "--checkout", str(tree), "--json"])
    assert found(capsys) == marked(tree)
    assert kind in {each for _, each in marked(tree)}
    assert code == (0 if KINDS[kind].severity is Severity.NOTE else 10)


def test_a_gate_may_name_whole_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = (
        "  wait-for-stage-a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./.github/actions/wait\n        with:\n"
        '          jobs: \'["stage-a-one", "stage-a-two"]\'\n'
    )
    text = workflow(job("stage-a-one"), job("stage-a-two"), gate)
    tree = make_tree(tmp_path / "tree", {WORKFLOW: text, **ONE})
    assert main(["check", "--checkout", str(tree), "--json"]) == 0
    assert found(capsys) == []
    (tree / WORKFLOW).write_text(text.replace(', "stage-a-two"', ""))
    assert main(["check", "--checkout", str(tree), "--json"]) == 10
    assert [kind for _, kind in found(capsys)] == ["gate-incomplete"]


def test_the_first_of_each_kind_is_shown_and_all_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_tree(tmp_path / "tree", TREES[FindingKind.SUITE_EMPTY])
    assert main(["check", "--checkout", str(tree)]) == 10
    shown = capsys.readouterr()
    assert "2 warnings" in shown.out
    assert "no test is registered for 'stage-b-smal-amd' (did you mean 'stage-b-small-amd'?)" in shown.out
    assert "is disabled" not in shown.out
    assert "and 1 more: --all" in shown.out
    assert "error (exit 10): 2 warnings" in shown.err
    assert f"next:  nox -s check -- --checkout {tree} --all" in shown.err
    assert main(["check", "--checkout", str(tree), "--all"]) == 10
    shown = capsys.readouterr()
    assert "every test of 'stage-b-large-amd' is disabled" in shown.out
    assert f"fix them there, then: nox -s check -- --checkout {tree}\n" in shown.err


def test_a_tree_without_faults_is_said_to_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_tree(tmp_path / "tree", {WORKFLOW: workflow(job()), **ONE})
    assert main(["check", "--checkout", str(tree)]) == 0
    assert f"{tree}: nothing found" in capsys.readouterr().out


def test_sarif_names_rule_level_file_and_line_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, file = make_tree(tmp_path / "tree", TREES[FindingKind.PART_NOT_RUN]), tmp_path / "found.sarif"
    assert main(["check", "--checkout", str(tree), "--sarif", str(file), "--json"]) == 10
    assert f"wrote {file}" in capsys.readouterr().err
    log = json.loads(file.read_text())
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "part-not-run"
    assert result["level"] == "error"
    assert result["message"]["text"].startswith(
        f"part 1 of 3 of {SMALL} is run by no job of amd.yml: 1 of 3 tests"
    )
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == (WORKFLOW, 12)


def test_scripts_are_no_tests_and_other_hardware_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that mentions AMD makes none of its jobs AMD's, and a script is no test."""
    text = workflow(
        job(),
        "  publish:\n    runs-on: linux-mi300-1gpu-sglang\n    steps:\n      - run: python3 scripts/make_amd_index.py\n",
        "  cuda:\n    runs-on: h100\n    steps:\n      - run: python3 run_suite.py --hw cuda --suite nothing --auto-partition-id 7\n",
    )
    tree = make_tree(tmp_path / "tree", {WORKFLOW: text, **ONE})
    assert main(["check", "--checkout", str(tree), "--json"]) == 0
    assert found(capsys) == []


def test_options_of_a_checkout_alone_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--all", "--sarif", "x"]) == 2
    shown = capsys.readouterr().err
    assert "--all: needs --checkout PATH" in shown
    assert "--sarif: needs --checkout PATH" in shown


def test_the_orphans_of_a_whole_tree_are_those_that_no_suite_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted a second way: from the registrations alone."""
    tree = write_stub_tree(tmp_path / "tree")
    rows = [row for row in registrations() if row["backend"] == "amd" and row["disabled"] is None]
    run = sorted({(row["suite"], row["nightly"]) for row in rows})[::2]
    jobs = [
        job(f"job-{number}", steps=step(suite, "--nightly" if nightly else ""))
        for number, (suite, nightly) in enumerate(run)
    ]
    (tree / WORKFLOW).parent.mkdir(parents=True)
    (tree / WORKFLOW).write_text(workflow(*jobs))
    assert main(["check", "--checkout", str(tree), "--json"]) == 10
    orphans = [place.rpartition(":")[0] for place, kind in found(capsys) if kind == "suite-not-run"]
    assert orphans
    assert sorted(orphans) == sorted(row["file"] for row in rows if (row["suite"], row["nightly"]) not in run)
