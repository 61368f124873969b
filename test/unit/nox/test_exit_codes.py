"""What the noxfile leans on: exit codes, names, the PATH, pytest's targets, and that an old Python can read it."""

import ast
import gc
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import SEVERITY, ExitCode
from ci.nox.exit_codes import (
    PYTEST_CODES,
    Codes,
    chosen_sessions,
    files_with_mark,
    leave,
    meaning,
    original_path,
    quiet_nox,
    suite_arguments,
    targets,
    targets_among,
    unknown_sessions,
)

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "tasks.py"


class TestNoxsOwnLines:
    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("Command /env/bin/python -m ci run stage-a-amd failed with exit code 1", False),
            ("Interrupted...", False),
            ("Command /env/bin/python -m ruff check . failed with exit code 1", True),
            ("Session stage_a_amd aborted: exit 1: failed.", True),
        ],
    )
    def test_one_line_about_a_failed_session_is_enough(
        self, line: str, caplog: pytest.LogCaptureFixture, *, shown: bool
    ) -> None:
        logger = logging.getLogger("nox")
        before = list(logger.filters)
        quiet_nox()
        try:
            logger.error(line)
        finally:
            logger.filters = before
        assert (line in caplog.text) == shown


class TestCodes:
    def test_the_worst_by_severity_wins_and_not_the_largest(self) -> None:
        codes = Codes()
        for code in (0, 9, 4, 1, 3):
            codes.note(code)
        assert codes.worst() == 1

    @given(st.lists(st.sampled_from([int(code) for code in ExitCode])))
    def test_the_order_of_the_sessions_does_not_matter(self, noted: list[int]) -> None:
        codes = Codes()
        for code in noted:
            codes.note(code)
        ranks = [SEVERITY.index(ExitCode(code)) for code in noted]
        assert codes.worst() == (SEVERITY[min(ranks)] if ranks else 0)

    @pytest.mark.parametrize("code", [-9, -15, None])
    def test_a_child_that_was_killed_or_never_started_is_infrastructure(self, code: int | None) -> None:
        codes = Codes()
        assert codes.note(code) == codes.worst() == ExitCode.INFRASTRUCTURE

    def test_a_code_outside_the_table_is_carried_as_it_is(self) -> None:
        codes = Codes()
        assert codes.note(77) == codes.worst() == 77

    @pytest.mark.parametrize(
        ("pytests", "ours"), [(0, 0), (1, 1), (2, 1), (3, 4), (4, 2), (5, 3), (99, 4), (-11, 4)]
    )
    def test_pytests_codes_are_put_into_ours(self, pytests: int, ours: int) -> None:
        assert Codes().note(pytests, PYTEST_CODES) == ours

    def test_an_interrupted_pytest_is_an_interrupt_and_not_a_failed_test(self) -> None:
        codes = Codes()
        codes.interrupt()
        codes.note(2, PYTEST_CODES)
        assert codes.interrupted
        assert codes.worst() == ExitCode.INTERRUPTED

    def test_a_session_that_breaks_for_no_noted_reason_is_infrastructure(self) -> None:
        codes = Codes()
        with pytest.raises(ZeroDivisionError), codes.session():
            raise ZeroDivisionError
        assert codes.worst() == ExitCode.INFRASTRUCTURE

    def test_a_session_that_noted_its_reason_keeps_it(self) -> None:
        codes = Codes()

        def session() -> None:
            with codes.session():
                codes.note(ExitCode.STALE)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            session()
        assert codes.worst() == ExitCode.STALE

    def test_a_session_that_is_interrupted_ends_all_with_130(self) -> None:
        codes = Codes()
        codes.note(ExitCode.TESTS_FAILED)
        with pytest.raises(KeyboardInterrupt), codes.session():
            raise KeyboardInterrupt
        assert codes.interrupted
        assert codes.worst() == ExitCode.INTERRUPTED

    def test_leaving_ends_with_the_worst_code_and_lets_a_good_run_end_by_itself(self) -> None:
        ends: list[int] = []
        codes = Codes()
        codes.note(0)
        leave(codes, ends.append)
        gc.unfreeze()
        codes.note(8)
        codes.note(9)
        leave(codes, ends.append)
        assert ends == [8]


def test_script_and_docs_have_the_order_of_the_table() -> None:
    order = [str(int(code)) for code in SEVERITY if code]
    script = (ROOT / ".ci/run").read_text()
    assert f"for each in {' '.join(order)}; do" in script
    page = (ROOT / "docs/exit-codes.md").read_text()
    assert f"in this order: {', '.join(order)}." in page
    numbers = [int(code) for code in sorted(ExitCode)]
    assert [int(row) for row in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)] == numbers
    assert f"| {' | '.join(map(str, numbers))} |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_code_of_the_table_has_words(code: ExitCode) -> None:
    assert meaning(code).startswith(f"exit {int(code)}: ")
    assert "of its own" not in meaning(code)


class TestOriginalPath:
    @pytest.mark.parametrize(
        "first",
        [
            "/home/me/.cache/uv/archive-v0/iecRCwcC_oCWegIF/bin",
            "/home/me/.cache/uv/builds-v0/.tmpGWycc9/bin:/home/me/.cache/uv/archive-v0/iecRCwcC_oCWegIF/bin",
            "/home/me/.cache/uv/environments-v2/noxfile-88e869f8d91a102a/bin",
            "/checkout/.nox/_nox_script_mode/bin:/home/me/.cache/uv/archive-v0/9j-PMdOFLXcEKSJm/bin",
        ],
    )
    def test_the_environments_that_hold_nox_are_taken_off(self, first: str) -> None:
        assert original_path(f"{first}:/opt/venv/bin:/usr/bin") == "/opt/venv/bin:/usr/bin"

    @pytest.mark.parametrize(
        "path", ["/opt/venv/bin:/usr/bin", "/usr/bin:/x/archive-v0/y/bin", "/x/archive-v0/y/lib:/bin", ""]
    )
    def test_everything_else_stays_as_it_is(self, path: str) -> None:
        assert original_path(path) == path

    @given(st.lists(st.text(alphabet="ab/:_-.0v", max_size=12), max_size=6))
    def test_it_only_ever_takes_from_the_front(self, entries: list[str]) -> None:
        path = ":".join(entries)
        assert path.endswith(original_path(path))


class TestNames:
    KNOWN = ("stage_a_amd", "stage_b_amd", "stage_b_amd(1-gpu-small)", "tests", "tests_all")

    @pytest.mark.parametrize(
        ("arguments", "chosen"),
        [
            (["-s", "lint", "tests"], ("lint", "tests")),
            (["--sessions", "lint", "-v", "x"], ("lint",)),
            (["--session=lint", "x"], ("lint",)),
            (["-e", "lint", "--", "-s", "not-ours"], ("lint",)),
            (["-l"], ()),
            (["lint"], ()),
            (["-s=lint", "-x"], ("lint",)),
        ],
    )
    def test_what_was_requested_is_read_as_nox_reads_it(
        self, arguments: list[str], chosen: tuple[str, ...]
    ) -> None:
        assert chosen_sessions(arguments) == chosen

    @pytest.mark.parametrize("name", [*KNOWN, "stage_b_amd( 1-gpu-small )"])
    def test_a_session_that_exists_gets_no_line(self, name: str) -> None:
        assert unknown_sessions(["-s", name], self.KNOWN, TASKS) == ()

    @pytest.mark.parametrize(
        ("typed", "near"),
        [
            ("stage-b-amd", "did you mean stage_b_amd"),
            ("stage_b", "did you mean stage_b_amd"),
            ("stage_b_amd(1-gpu-smal)", "did you mean stage_b_amd(1-gpu-small)"),
            ("test", "did you mean tests"),
        ],
    )
    def test_an_unknown_session_gets_the_closest_names(self, typed: str, near: str) -> None:
        (line,) = unknown_sessions(["-s", "tests", typed], self.KNOWN, TASKS)
        assert f"unknown session {typed}; {near}" in line

    @pytest.mark.parametrize(("typed", "verb"), [("repro", "repro"), ("image_build", "image.build")])
    def test_a_verb_that_is_taken_for_a_session_is_named(self, typed: str, verb: str) -> None:
        (line,) = unknown_sessions(["-s", typed], self.KNOWN, TASKS)
        assert (
            line == f"{typed} is not a session, it is a verb: ./inv {verb} (./inv --help {verb} explains it)"
        )

    def test_an_unknown_session_without_a_close_name_points_to_the_list(self) -> None:
        (line,) = unknown_sessions(["-s", "qqq"], self.KNOWN, TASKS)
        assert line == "unknown session qqq (nox -l lists all)"


def test_the_bracketed_form_puts_its_suite_before_the_callers_words() -> None:
    assert suite_arguments("1-gpu-small", ["--shard", "3/14", "--", "-k", "x"]) == (
        *("--suite", "1-gpu-small"),
        *("--shard", "3/14", "--", "-k", "x"),
    )
    assert suite_arguments("", ["--list"]) == ("--list",)


class TestTargets:
    def test_our_paths_unless_a_test_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "test" / "unit").mkdir(parents=True)
        (tmp_path / "test" / "unit" / "test_x.py").touch()
        ours = ("test/unit",)
        assert targets(["-x"], ours, tmp_path) == ("test/unit", "-x")
        assert targets(["test/unit/test_x.py::test_y", "-x"], ours, tmp_path) == (
            "test/unit/test_x.py::test_y",
            "-x",
        )
        assert targets(["-k", "test"], ours, tmp_path) == ("test/unit", "-k", "test")
        assert targets(["-k", "not/there.py"], ours, tmp_path) == ("test/unit", "-k", "not/there.py")

    def test_of_the_users_paths_only_files_of_a_kind_are_run(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        for name in ("a/test_1.py", "a/test_2.py", "test_3.py"):
            (tmp_path / name).touch()
        files = ("a/test_1.py", "test_3.py")
        assert targets_among(files, ["-x"], tmp_path) == (*files, "-x")
        assert targets_among(files, ["a/", "-x"], tmp_path) == ("a/test_1.py", "-x")
        assert targets_among(files, ["a/test_2.py", "test_3.py::test_y"], tmp_path) == ("test_3.py::test_y",)
        assert targets_among(files, ["a/test_2.py", "-x"], tmp_path) == ()

    def test_marked_files_are_found_without_importing_them(self, tmp_path: Path) -> None:
        (tmp_path / "test_all.py").write_text(
            "import not_there\npytestmark = [pytest.mark.x, pytest.mark.in_container]\n"
        )
        (tmp_path / "test_one.py").write_text("@pytest.mark.in_container\ndef test_it(): ...\n")
        (tmp_path / "test_text.py").write_text("'pytest.mark.in_container'  # pytest.mark.in_container\n")
        (tmp_path / "test_broken.py").write_text("pytestmark = pytest.mark.in_container\nx = = 1\n")
        (tmp_path / "helper.py").write_text("pytestmark = pytest.mark.in_container\n")
        found = files_with_mark("in_container", tmp_path)
        assert [path.name for path in found] == ["test_all.py", "test_one.py"]


class TestNoxfile:
    SOURCE = (ROOT / "noxfile.py").read_text(encoding="utf-8")

    def test_python_3_8_can_read_it_as_far_as_the_version_check(self) -> None:
        ast.parse(self.SOURCE, feature_version=(3, 8))

    def test_nothing_newer_comes_before_the_version_check(self) -> None:
        body = ast.parse(self.SOURCE).body
        docstring, first, second = body[:3]
        assert isinstance(docstring, ast.Expr)
        assert isinstance(first, ast.Import)
        assert [alias.name for alias in first.names] == ["sys"]
        assert isinstance(second, ast.If)
        assert ast.unparse(second.test) == "sys.version_info < (3, 11)"

    def test_the_script_block_requests_a_python_and_no_package(self) -> None:
        block = [line for line in self.SOURCE.splitlines()[:4] if line.startswith("#")]
        assert block == ["# /// script", '# requires-python = ">=3.11"', "# ///"]

    def test_a_child_has_ended_before_githubs_runner_kills_nox(self) -> None:
        seconds = re.findall(
            r"^(?:INTERRUPT|TERMINATE)_TIMEOUT_S = ([\d.]+)$", self.SOURCE, flags=re.MULTILINE
        )
        assert len(seconds) == 2
        assert sum(map(float, seconds)) < 10

    def test_it_imports_nothing_but_the_standard_library_nox_and_ci(self) -> None:
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(self.SOURCE))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported == {
            *(
                "atexit",
                "collections",
                "functools",
                "importlib",
                "os",
                "pathlib",
                "subprocess",
                "sys",
                "time",
            ),
            *("ci", "nox"),
        }
