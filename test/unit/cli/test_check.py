"""`nox -s check`, and a plan, on a day that is only tried."""

import json
from datetime import date
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.main import main
from support.planning import facts
from support.trees import OWN_TESTS, write_sglang_tree


@pytest.mark.usefixtures("own_tree")
class TestTheWholeWay:
    """Through the command line."""

    def test_check_fails_on_the_day_after(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2027-04-22")
        assert main(["check"]) == 7
        shown = capsys.readouterr()
        assert "test_flaky.py::test_greedy]: has expired" in shown.err
        assert "error (exit 7)" in shown.err
        assert "NOT TODAY'S DATE" in shown.out

    def test_check_passes_on_the_last_day_and_warns_before_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2027-04-21")
        assert main(["check", "--json"]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any("is valid until 2027-04-21, 0 days from now" in note for note in notes)

    def test_it_says_what_it_has_looked_at(
        self,
        catalog: Catalog,
        own_tree: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2026-05-29")
        monkeypatch.setenv("COLUMNS", "300")
        assert main(["check"]) == 0
        shown = capsys.readouterr().out
        assert f"{len(catalog.stages)} stages, {len(catalog.suites)} suites" in shown
        assert f"{own_tree}: {len(OWN_TESTS)} files, " in shown
        assert main(["check", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["problems"], data["suites"]) == ([], len(catalog.suites))
        assert data["quarantined"] == len(catalog.quarantine.rows) > 0

    def test_problems_of_this_tree_are_named_at_once_and_are_ours(
        self, own_tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2026-05-29")
        for name in ("test_two", "test_west"):
            file = own_tree / f"test/registered/amd/{name}.py"
            file.write_text(file.read_text().replace("est_time=60", "est_time=60 + x"))
        assert main(["check"]) == 2
        shown = capsys.readouterr().err
        for words in ("test_two.py", "test_west.py", "fix them, then: nox -s check"):
            assert words in shown
        assert main(["check", "--json"]) == 2
        assert len(json.loads(capsys.readouterr().out)["problems"]) >= 2

    def test_findings_in_a_tree_that_is_not_ours_are_exit_10(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2026-05-29")
        broken = 'register_amd_ci(est_time=1 + x, suite="stage-a-test-1-gpu-small-amd")\n'
        tree = write_sglang_tree(tmp_path / "sglang", {"test/registered/test_a.py": broken})
        assert main(["check", "--checkout", str(tree)]) == 10
        shown = capsys.readouterr()
        assert "test_a.py:1" in shown.out
        assert f"nox -s check -- --checkout {tree}" in shown.err

    def test_a_date_that_is_none_is_a_usage_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for text in ("tomorrow", "20270422", "2027-02-30", "2027-W10-1"):
            monkeypatch.setenv("AMD_CI_TODAY", text)
            assert main(["check"]) == 2
            assert f"AMD_CI_TODAY is {text!r}, not a date" in capsys.readouterr().err

    def test_a_plan_is_refused_as_well(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            "ci.cli.planning.gather_machine", lambda *_, **_k: facts([], today=date(2027, 4, 22))
        )
        assert main(["plan", "stage_a_amd"]) == 7
        assert (
            "test_greedy]: has expired: it was valid until 2027-04-21, today is 2027-04-22"
            in capsys.readouterr().err
        )
