"""`nox -s check`, and a plan, on a day that is only tried."""

import json
from datetime import date

import pytest

from ci.cli.main import main
from support.planning import facts


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
