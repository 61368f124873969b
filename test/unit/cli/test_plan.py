"""`nox -s plan -- --compare`."""

import json

import pytest

from ci.cli.main import main
from ci.plan.facts import Known


class TestSession:
    """`nox -s plan -- --compare`."""

    @pytest.mark.usefixtures("own_tree")
    def test_json_has_classes_digests_and_differences(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("ci.facts.gather.commit_of", lambda *_, **__: Known(value="a" * 40, source="git"))
        arguments = [
            "plan",
            "--compare",
            "mi300x,mi325x,cuda",
            "stage_b_amd",
            "--suite",
            "1-gpu-small",
            "--json",
        ]
        assert main(arguments) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["classes"] == ["mi300x", "mi325x", "cuda"]
        assert set(shown["digests"]) == {"mi300x", "mi325x"}
        values = {row["name"]: row["values"] for row in shown["differences"]}
        assert values["itl_s"] == {"mi300x": "< 2 s", "mi325x": "< 1 s", "cuda": "< 1 s"}

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            (["--compare", "mi300x,mi32x", "stage_b_amd"], "'mi32x' (did you mean 'mi325x'"),
            (["--compare", "mi300x", "stage_b_amd"], "compares 1 hardware classes"),
            (["--compare", "mi300x,cuda", "stage_b_amd"], "compares 1 hardware classes"),
            (["--compare", "mi300x,mi325x"], "the plans of which stage?"),
            (["--compare=mi300x,mi325x", "stage_b_amd", "--hardware", "cpu"], "both name hardware"),
            (["--compare"], "compares 0 hardware classes"),
        ],
    )
    def test_invalid_input_is_exit_2(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], found: str
    ) -> None:
        assert main(["plan", *arguments]) == 2
        assert found in capsys.readouterr().err
