"""The table of coverage: rooms, total, and the modules with the least."""

import json
from pathlib import Path

from ci.nox.coverage import measured, start, table, to_json


def module(statements: int, branches: int, lines: int, taken: int) -> dict[str, dict[str, int]]:
    return {
        "summary": {
            "num_statements": statements,
            "num_branches": branches,
            "covered_lines": lines,
            "covered_branches": taken,
        }
    }


def test_rooms_add_up_and_the_least_covered_modules_come_last(tmp_path: Path) -> None:
    files = {
        "ci/errors.py": module(10, 0, 10, 0),
        "ci/plan/make.py": module(80, 20, 70, 20),
        "ci/plan/container/needs.py": module(50, 50, 50, 50),
        "ci/empty/__init__.py": module(0, 0, 0, 0),
    }
    (tmp_path / "coverage.json").write_text(json.dumps({"files": files}))
    lines = [line.split() for line in table(tmp_path).splitlines() if line][1:]
    assert lines[:3] == [
        ["empty", "0", "100.0%"],
        ["modules", "beside", "them", "10", "100.0%"],
        ["plan", "200", "95.0%"],
    ]
    assert lines[3] == ["total", "210", "95.2%"]
    assert lines[4] == ["ci/plan/make.py", "100", "90.0%"]


def test_tests_that_run_nothing_of_ci_have_a_sentence_in_place_of_the_table(tmp_path: Path) -> None:
    said = "coverage: these tests run nothing of ci/\n"
    assert to_json(tmp_path) == ()
    assert table(tmp_path) == said
    untouched = {"summary": {"num_statements": 7, "covered_lines": 0}}
    (tmp_path / "coverage.json").write_text(json.dumps({"files": {"ci/errors.py": untouched}}))
    assert table(tmp_path) == said


def test_a_measurement_forgets_the_one_before_and_keeps_its_data_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "coverage"
    start(folder)
    (folder / "data.old").write_text("")
    start(folder)
    assert list(folder.iterdir()) == []
    (folder / "data.process").write_text("")
    words = measured(tmp_path, folder, "pytest", "-q")
    assert words[-3:] == ("-m", "pytest", "-q")
    named = [
        word for command in (words, *to_json(folder)) for word in command if word.startswith("--data-file=")
    ]
    assert named == [f"--data-file={folder / 'data'}"] * 3
