"""`nox -s contract` through the command line, on small trees of our own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ci.cli.main import main

DATA = Path(__file__).parents[2] / "data/sglang_versions"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which release 0.5.20 was fetched before: no network is asked."""
    shutil.copytree(DATA / "groups", tmp_path / "sglang/0.5.20")
    monkeypatch.setenv("AMD_CI_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.processes
@pytest.mark.usefixtures("own_tree", "cache")
class TestSession:
    """`nox -s contract` with a release."""

    def test_rows_that_do_not_fit_are_exit_1_with_their_lines(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["contract", "--sglang", "0.5.20"]) == 1
        shown = " ".join(capsys.readouterr().out.split())
        assert "SGLang 0.5.20: release 0.5.20" in shown
        assert "capability[memory]: unknown argument --memory" in shown
        assert "arguments: 4, read from the source" in shown

    def test_for_machines_it_is_one_json_document(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["contract", "--sglang", "0.5.20", "--json"]) == 1
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert found["sglang"]["release"] == "0.5.20"
        assert "unknown argument --memory" in {problem["what"] for problem in found["problems"]}
        assert {row["status"] for row in found["variables"] if not row["name"].startswith("SGLANG")} == {
            "not SGLang's"
        }

    def test_two_sglangs_are_a_usage_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["contract", "--sglang", "0.5.20", "--checkout", "."]) == 2
        assert "both name an SGLang" in capsys.readouterr().err

    def test_an_interpreter_that_cannot_import_it_is_exit_4(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["contract", "--sglang", "0.5.20", "--python", "/usr/bin/python3"]) == 4
        shown = capsys.readouterr().err
        assert "cannot import SGLang 0.5.20" in shown
        assert "leave --python out" in shown
