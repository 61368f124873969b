"""Every exit code of the table through the real `nox`, and what a session hands on and prints."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from ci.errors import ExitCode
from support.nox_project import Project, make_project, tool, uvx


@pytest.fixture(scope="module")
def envdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("envs")


@pytest.fixture
def project(tmp_path: Path, envdir: Path) -> Project:
    return make_project(tmp_path / "project", envdir=envdir)


class TestCodes:
    @pytest.mark.parametrize("code", [int(code) for code in ExitCode])
    def test_each_code_of_the_table_is_what_nox_ends_with(self, project: Project, code: int) -> None:
        project.codes = {"stage-a-amd": code}
        ended = project.nox("-s", "stage_a_amd")
        assert ended.code == code, ended.stderr
        assert ended.argvs == [["run", "stage-a-amd"]]

    @pytest.mark.parametrize(("code", "seen"), [(77, 77), (-9, 4), (-11, 4)])
    def test_a_code_of_its_own_is_carried_and_a_kill_is_infrastructure(
        self, project: Project, code: int, seen: int
    ) -> None:
        project.codes = {"stage-a-amd": code}
        assert project.nox("-s", "stage_a_amd").code == seen

    @pytest.mark.parametrize(
        ("a", "b", "c", "worst"),
        [(9, 4, 0, 4), (4, 1, 5, 1), (0, 3, 9, 9), (8, 0, 6, 6), (7, 7, 2, 2), (0, 0, 0, 0)],
    )
    def test_the_worst_of_several_wins_and_the_later_sessions_still_run(
        self, project: Project, a: int, b: int, c: int, worst: int
    ) -> None:
        project.codes = {"stage-a-amd": a, "stage-b-amd": b, "stage-c-amd": c}
        report = project.root / "report.json"
        ended = project.nox("--report", str(report), "-s", "stage_a_amd", "stage_b_amd", "stage_c_amd")
        assert ended.code == worst
        assert [argv[1] for argv in ended.argvs] == ["stage-a-amd", "stage-b-amd", "stage-c-amd"]
        assert "Ran 3 sessions" in ended.stderr
        results = {row["name"]: row["result"] for row in json.loads(report.read_text())["sessions"]}
        assert [results[f"stage_{stage}_amd"] == "success" for stage in "abc"] == [
            code == 0 for code in (a, b, c)
        ]

    def test_the_first_failure_can_be_the_last(self, project: Project) -> None:
        project.codes = {"stage-a-amd": 5}
        ended = project.nox("-x", "-s", "stage_a_amd", "stage_b_amd")
        assert (ended.code, len(ended.calls)) == (5, 1)

    def test_the_code_comes_through_uvx(self, project: Project) -> None:
        project.codes = {"stage-a-amd": 8}
        assert project.nox("-s", "stage_a_amd", nox=uvx()).code == 8

    def test_the_code_comes_through_the_shell_of_actions(self, project: Project) -> None:
        project.codes = {"stage-a-amd": 6}
        script = project.root / "step.sh"
        script.write_text('exec "$@"\n')
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script))
        assert project.nox("-s", "stage_a_amd", before=shell).code == 6

    def test_the_code_comes_through_a_pipe(self, project: Project) -> None:
        project.codes = {"stage-a-amd": 5}
        pipe = ("bash", "-o", "pipefail", "-c", '"$@" 2>&1 | cat', "bash")
        ended = project.nox("-s", "stage_a_amd", before=pipe)
        assert ended.code == 5
        assert "exit 5: timeout" in ended.stdout

    def test_nox_itself_speaks_of_the_meaning(self, project: Project) -> None:
        project.codes = {"stage-a-amd": 8}
        # where it took long, Nox adds how long
        said = r"Session stage_a_amd aborted: exit 8: bounds broken( \(took .+\))?\.\n"
        assert re.search(said, project.nox("-s", "stage_a_amd").stderr)


class TestUsage:
    def test_an_unknown_session_is_3_with_the_nearest_names(self, project: Project) -> None:
        ended = project.nox("-s", "stage-b-amd", "stage_a_amd")
        assert ended.code == 3
        assert "unknown session stage-b-amd; did you mean stage_b_amd" in ended.stderr
        assert ended.calls == ()

    def test_an_unknown_option_of_nox_is_2(self, project: Project) -> None:
        assert project.nox("--no-such-option").code == 2

    def test_a_broken_catalog_is_2_with_the_file_and_the_row(self, project: Project) -> None:
        table = project.root / "ci" / "catalog" / "stages.toml"
        table.write_text(table.read_text() + '\n[[stage]]\nid = "stage-x-amd"\n')
        ended = project.nox("-l")
        assert ended.code == 2
        assert "error (exit 2)" in ended.stderr
        assert "stages.toml" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_missing_pin_file_is_2_with_the_command_that_makes_it(self, project: Project) -> None:
        (project.root / "requirements" / "model.txt").unlink()
        ended = project.nox("-s", "stage_a_amd")
        assert ended.code == 2
        assert "next:  nox -s pins" in ended.stderr

    def test_a_session_that_needs_root_says_so(self, project: Project) -> None:
        for name in ("integration", "faults"):
            ended = project.nox("-s", name, before=("unshare", "--user"))
            assert ended.code == 4
            assert f"{name} needs root" in ended.stderr


class TestWords:
    def test_everything_after_the_dashes_reaches_ci_and_a_second_pair_too(self, project: Project) -> None:
        words = ["--suite", "1-gpu-small", "--env", "A=b c", "--", "-k", "x or y", "--", "-s"]
        ended = project.nox("-s", "stage_b_amd", "--", *words)
        assert ended.argvs == [["run", "stage-b-amd", *words]]

    def test_the_bracketed_form_puts_its_suite_first(self, project: Project) -> None:
        ended = project.nox("-s", "stage_b_amd(1-gpu-small)", "--", "--shard", "3/14")
        assert ended.argvs == [["run", "stage-b-amd", "--suite", "1-gpu-small", "--shard", "3/14"]]

    def test_a_whole_stage_is_one_process(self, project: Project) -> None:
        assert project.nox("-s", "stage_b_amd", "--", "--list").argvs == [["run", "stage-b-amd", "--list"]]

    def test_plan_envs_and_check_hand_their_words_on(self, project: Project) -> None:
        assert project.nox("-s", "plan", "--", "--diff", "A", "B").argvs == [["plan", "--diff", "A", "B"]]
        assert project.nox("-s", "envs", "--", "show").argvs == [["envs", "show"]]

    def test_standard_output_is_what_ci_printed_and_nothing_else(self, project: Project) -> None:
        ended = project.nox("-s", "stage_a_amd", "--", "--json")
        assert json.loads(ended.stdout) == {"stage": "stage-a-amd"}
        assert "noise of the stand-in" in ended.stderr
        assert "Running session stage_a_amd" in ended.stderr

    @pytest.mark.parametrize("through_uvx", [False, True], ids=["nox", "uvx"])
    def test_the_path_is_the_one_that_nox_was_started_with(
        self, project: Project, *, through_uvx: bool
    ) -> None:
        path = project.environment()["PATH"]
        ended = project.nox("-s", "stage_a_amd", nox=uvx() if through_uvx else (), PATH=path)
        assert [call["path"] for call in ended.calls] == [path]


class TestListing:
    def test_each_suite_is_listed_with_its_gpus_shards_and_minutes(self, project: Project) -> None:
        lines = project.nox("-l").stdout.splitlines()
        (line,) = [line for line in lines if line.startswith("- stage_b_amd(1-gpu-small) ")]
        assert line.startswith("- stage_b_amd(1-gpu-small) [suite,1 GPU,mi30x] -> ")
        for fact in ("stage-b-test-1-gpu-small-amd", "1 GPU mi30x", "14 shards", "60 min"):
            assert fact in line
        (line,) = [line for line in lines if line.startswith("- stage_b_amd ")]
        for fact in ("9 suites", "1-8 GPUs", "25 shards", "up to 60 min"):
            assert fact in line

    def test_bare_nox_would_run_check_lint_and_tests(self, project: Project) -> None:
        chosen = [line.split()[1] for line in project.nox("-l").stdout.splitlines() if line.startswith("* ")]
        assert chosen == ["check", "lint", "tests"]

    def test_tags_select_by_hardware(self, project: Project) -> None:
        listed = json.loads(project.nox("-l", "--json", "-t", "2 GPUs").stdout)
        assert {row["session"] for row in listed} == {
            "stage_b_amd(2-gpu-large)",
            "stage_b_amd(sgl-kernel-unit-2-gpu)",
            "nightly_small_amd(2-gpu)",
        }

    def test_each_session_says_what_it_is_for(self, project: Project) -> None:
        listed = json.loads(project.nox("-l", "--json", "-k", "not zzz").stdout)
        assert len(listed) > 25
        assert [row["session"] for row in listed if not row["description"]] == []
        usage = project.nox("--usage", "stage_c_amd(4-gpu)").stdout
        assert "stage-c-test-4-gpu-amd" in usage
        assert "Source: " in usage

    @pytest.mark.parametrize(
        "how", [("nox",), ("python", "-m", "nox"), ("python", "noxfile.py")], ids=" ".join
    )
    def test_it_is_listed_however_nox_is_started(self, project: Project, how: tuple[str, ...]) -> None:
        listed = project.nox("-l", "--json", "-k", "stage_a_amd", nox=(tool(how[0]), *how[1:]))
        assert [row["session"] for row in json.loads(listed.stdout)] == [
            "stage_a_amd",
            "stage_a_amd(1-gpu-small)",
        ]

    def test_it_works_from_another_folder(self, project: Project, tmp_path: Path) -> None:
        done = subprocess.run(
            [tool("nox"), "-f", str(project.root / "noxfile.py"), "-l", "--json"],
            cwd=tmp_path,
            env=project.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert [row["session"] for row in json.loads(done.stdout)] == ["check", "lint", "tests"]


class TestPins:
    PYPROJECT = '[dependency-groups]\nrun = ["iniconfig"]\n'

    @pytest.fixture
    def pinned(self, project: Project) -> Project:
        for file in (project.root / "requirements").iterdir():
            file.unlink()
        (project.root / "pyproject.toml").write_text(self.PYPROJECT)
        ended = project.nox("-s", "pins")
        assert ended.code == 0, ended.stderr
        return project

    def test_compiled_pins_are_fresh_name_no_place_and_install(self, pinned: Project) -> None:
        text = (pinned.root / "requirements" / "run.txt").read_text()
        assert "iniconfig==" in text
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert str(pinned.root) not in text
        assert pinned.nox("-s", "pins", "--", "--check", before=("unshare", "--net")).code == 0
        ended = pinned.nox("-s", "check")
        assert (ended.code, ended.argvs) == (0, [["check"], ["docs", "--check"]]), ended.stderr

    def test_stale_pins_are_9_in_pins_and_in_check_without_a_network(self, pinned: Project) -> None:
        (pinned.root / "pyproject.toml").write_text(self.PYPROJECT.replace("iniconfig", "iniconfig>=2"))
        pinned.nox("-s", "plan")  # makes the environment
        for session in (("pins", "--", "--check"), ("check",)):
            ended = pinned.nox("-s", *session, before=("unshare", "--net"))
            assert ended.code == 9, ended.stderr
            assert "requirements/run.txt: pyproject.toml has changed since" in ended.stderr
            assert "next:  nox -s pins" in ended.stderr

    def test_a_broken_catalog_beside_stale_pins_is_the_worse_of_both(self, pinned: Project) -> None:
        (pinned.root / "requirements" / "old.txt").write_text("x\n")
        pinned.codes = {"": 2}
        ended = pinned.nox("-s", "check")
        assert ended.code == 2
        assert "no dependency group has this name" in ended.stderr

    def test_options_that_pins_does_not_know_are_2(self, pinned: Project) -> None:
        assert pinned.nox("-s", "pins", "--", "--chekc").code == 2
