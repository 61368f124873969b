"""The three linters of `nox -s lint` on the rendered workflows: clean as they are, and each bites on a seeded fault."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import REPOSITORY
from support.nox_project import make_project

STAGE, PULL, NIGHTLY = "amd-stage.yml", "amd-pr.yml", "amd-nightly.yml"
LINTERS = {
    "actionlint": (),
    "zizmor": ("--offline", "--persona", "auditor", "."),
    "check-jsonschema": ("--builtin-schema", "vendor.github-workflows"),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The rendered files where the linters look for them."""
    shutil.copytree(REPOSITORY / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    return tmp_path


def lint(linter: str, checkout: Path) -> tuple[int, str]:
    """A linter's exit code and what it said."""
    program = Path(sys.executable).with_name(linter)
    arguments = [*LINTERS[linter]]
    if linter == "check-jsonschema":
        arguments += sorted(map(str, (checkout / ".github/workflows").glob("*.yml")))
    done = subprocess.run(
        [program, *arguments],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("linter", LINTERS)
def test_the_rendered_files_are_clean(checkout: Path, linter: str) -> None:
    code, shown = lint(linter, checkout)
    assert code == 0, shown


@pytest.mark.parametrize(
    ("linter", "file", "old", "new", "shown"),
    [
        ("actionlint", PULL, "runs-on: ubuntu-latest", "runs-on: linux-mi325-1gpu", 'label "linux-mi325-1gpu" is unknown'),
        ("actionlint", PULL, "needs: [plan, wave-1]", "needs: [plan, wave-4]", "wave-4"),
        ("actionlint", PULL, "matrix: ${{ needs.plan", "matrics: ${{ needs.plan", '"matrics" is not defined'),
        ("actionlint", PULL, "steps.plan.outputs", "steps.plam.outputs", '"plam" is not defined'),
        ("actionlint", PULL, "inputs.aiter_ref", "inputs.aiter_rev", '"aiter_rev" is not defined'),
        ("actionlint", NIGHTLY, "30 17 * * *", "61 17 * * *", "61"),
        ("zizmor", STAGE, '-s "$SESSION"', "-s ${{ matrix.session }}", "template-injection"),
        ("zizmor", STAGE, "permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("zizmor", STAGE, "persist-credentials: false", "persist-credentials: true", "artipacked"),
        ("zizmor", STAGE, "actions/checkout@", "actions/checkout@v6 # ", "unpinned-uses"),
        ("check-jsonschema", STAGE, "    name: ${{ matrix.name }}", "    nam: ${{ matrix.name }}", "nam"),
    ],
)  # fmt: skip
def test_a_seeded_fault_is_reported(
    checkout: Path, linter: str, file: str, old: str, new: str, shown: str
) -> None:
    path = checkout / ".github/workflows" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code, printed = lint(linter, checkout)
    assert code != 0
    assert shown in printed


def test_no_ignore_is_there_for_nothing(checkout: Path) -> None:
    config = checkout / ".github/zizmor.yml"
    ignored = set(re.findall(r"^  ([a-z-]+):$", config.read_text(), flags=re.MULTILINE))
    config.unlink()
    code, shown = lint("zizmor", checkout)
    assert code != 0
    assert set(re.findall(r"^\w+\[([a-z-]+)\]", shown, flags=re.MULTILINE)) == ignored


def test_the_session_hands_its_words_on_and_carries_the_code(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", envdir=tmp_path / "envs")
    project.codes = {"--check": 9}
    ended = project.nox("-s", "workflows", "--", "--check")
    assert (ended.code, ended.argvs) == (9, [["workflows", "--check"]]), ended.stderr
