"""How Nox ends on a signal: always 130, cleaned up, nothing left, and no later session started."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nox_project import (
    REPOSITORY,
    Project,
    alive_with,
    kill_all,
    make_project,
    send,
    uvx,
    wait_for,
)

INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL

# When what has to happen counts as not happening: a busy machine takes long, and what a test leaves behind sleeps for 600 s.
AT_LAST_S = 60


@pytest.fixture(scope="module")
def envdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("envs")


@pytest.fixture
def project(tmp_path: Path, envdir: Path) -> Iterator[Project]:
    project = make_project(tmp_path / "project", envdir=envdir)
    project.hang = ["stage-a-amd"]
    project.cleanup_s = 1.0  # Nox by itself would cut it after 0.5 s
    yield project
    kill_all(project.token)


def cleans_up_and_ends(project: Project, process: subprocess.Popen[bytes]) -> None:
    """It ends with 130 after the whole cleanup, which Nox would have cut by SIGKILL, with nothing left."""
    assert process.wait(timeout=AT_LAST_S) == 130, project.output.read_text()
    assert project.cleaned.exists(), project.output.read_text()
    assert nothing_is_left(project), alive_with(project.token)


def nothing_is_left(project: Project) -> bool:
    return wait_for(lambda: not alive_with(project.token), within_s=AT_LAST_S)


def ends_cleanly(project: Project, process: subprocess.Popen[bytes]) -> None:
    """The same, with no later session started."""
    cleans_up_and_ends(project, process)
    assert [call["argv"][1] for call in project.calls()] == ["stage-a-amd"]


@pytest.mark.parametrize("group", [False, True], ids=["nox alone", "the group"])
@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_one_signal(project: Project, number: signal.Signals, *, group: bool) -> None:
    process = project.start("-s", "stage_a_amd", "stage_b_amd")
    send(process, number, group=group)
    ends_cleanly(project, process)


@pytest.mark.parametrize("group", [False, True], ids=["nox alone", "the group"])
@pytest.mark.parametrize(
    "numbers", [(INT, TERM), (INT, INT), (INT, INT, TERM, TERM), (TERM, HUP), (HUP, INT)], ids=lambda numbers: "+".join(
        each.name for each in numbers
    )
)  # fmt: skip
def test_more_signals_while_it_cleans_up(
    project: Project, numbers: tuple[signal.Signals, ...], *, group: bool
) -> None:
    process = project.start("-s", "stage_a_amd", "stage_b_amd")
    for number in numbers:
        send(process, number, group=group)
        time.sleep(0.2)
    ends_cleanly(project, process)


@pytest.mark.parametrize("number", [INT, TERM])
def test_through_uvx(project: Project, number: signal.Signals) -> None:
    process = project.start("-s", "stage_a_amd", "stage_b_amd", nox=uvx())
    send(process, number)
    ends_cleanly(project, process)


@pytest.mark.parametrize("number", [INT, TERM])
def test_through_the_shell_of_actions(project: Project, number: signal.Signals) -> None:
    script = project.root / "step.sh"
    script.write_text('exec "$@"\n')
    shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script))
    process = project.start("-s", "stage_a_amd", "stage_b_amd", before=shell)
    send(process, number)
    ends_cleanly(project, process)


def test_a_shells_background_job_can_be_interrupted(project: Project) -> None:
    """A script's `&` has SIGINT ignored; who sends it to Nox means Nox all the same."""
    process = project.start("-s", "stage_a_amd", before=("env", "--ignore-signal=INT"))
    send(process, INT)
    ends_cleanly(project, process)


def test_a_child_that_cleans_up_and_says_0_still_ends_everything(project: Project) -> None:
    project.codes = {"stage-a-amd": 0}
    process = project.start("-s", "stage_a_amd", "stage_b_amd")
    send(process, INT)
    ends_cleanly(project, process)


def test_nohup_outlives_its_terminal(project: Project) -> None:
    process = project.start("-s", "stage_a_amd", before=("nohup",))
    send(process, HUP)
    time.sleep(2.5)  # longer than an interrupt and its cleanup would take
    assert process.poll() is None
    assert not project.cleaned.exists()
    send(process, TERM)
    ends_cleanly(project, process)


def test_a_child_that_never_ends_is_killed_and_nothing_stays(project: Project) -> None:
    project.cleanup_s = 600
    process = project.start("-s", "stage_a_amd", "stage_b_amd")
    started_s = time.monotonic()
    send(process, TERM)
    assert process.wait(timeout=AT_LAST_S) == 130, project.output.read_text()
    assert time.monotonic() - started_s > 8
    assert not project.cleaned.exists()
    # its own helper alone is left; `ci` sweeps such by their token at its next start
    assert list(alive_with(project.token).values()) == ["sleep 600"]


def test_ci_ends_when_nox_is_killed(project: Project) -> None:
    process = project.start("-s", "stage_a_amd")
    send(process, KILL)
    process.wait()
    assert wait_for(project.cleaned.exists, within_s=AT_LAST_S)
    assert nothing_is_left(project), alive_with(project.token)


def test_all_ends_when_uvx_is_killed(project: Project) -> None:
    process = project.start("-s", "stage_a_amd", "stage_b_amd", nox=uvx())
    send(process, KILL)
    process.wait()
    assert wait_for(project.cleaned.exists, within_s=AT_LAST_S)
    assert nothing_is_left(project), alive_with(project.token)
    assert len(project.calls()) == 1


PYTEST_FILE = """
import json, os, pathlib, time
import pytest

orders = json.loads(os.environ["STAND_IN"])

@pytest.fixture
def server():
    yield
    time.sleep(1)
    pathlib.Path(orders["cleaned"]).touch()

def test_that_hangs(server):
    pathlib.Path(orders["ready"]).touch()
    time.sleep(600)
"""


class TestOfOurOwnTests:
    """pytest, which is not `ci`: it must end its fixtures as well."""

    @pytest.fixture
    def with_pytest(self, tmp_path: Path, envdir: Path) -> Iterator[Project]:
        pins = {"tasks": "execnet", "test": "pytest-xdist"}
        project = make_project(tmp_path / "project", envdir=envdir, pins=pins)
        shutil.copy(REPOSITORY / "requirements" / "run.txt", project.root / "requirements")
        folder = project.root / "test" / "unit"
        folder.mkdir(parents=True)
        (folder / "test_it.py").write_text(PYTEST_FILE)
        smallest = project.root / "test" / "integration" / "test_smallest_rehearsal.py"
        smallest.parent.mkdir()
        smallest.write_text("def test_that_passes(): pass")
        yield project
        kill_all(project.token)

    @pytest.mark.parametrize("words", [("--", "test/unit/test_it.py"), ()], ids=["a file", "all at once"])
    @pytest.mark.parametrize("group", [False, True], ids=["nox alone", "the group"])
    @pytest.mark.parametrize("number", [INT, TERM])
    def test_one_signal(
        self, with_pytest: Project, number: signal.Signals, words: tuple[str, ...], *, group: bool
    ) -> None:
        process = with_pytest.start("-s", "tests", "plan", *words)
        send(process, number, group=group)
        cleans_up_and_ends(with_pytest, process)
        assert with_pytest.calls() == ()

    def test_nox_is_killed(self, with_pytest: Project) -> None:
        process = with_pytest.start("-s", "tests", "--", "test/unit/test_it.py")
        send(process, KILL)
        process.wait()
        assert wait_for(with_pytest.cleaned.exists, within_s=AT_LAST_S)
        assert nothing_is_left(with_pytest), alive_with(with_pytest.token)
