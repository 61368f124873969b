"""`nox -s envs` with the paths of tests."""

import json

import pytest

from ci.cli.main import main


@pytest.mark.usefixtures("own_tree")
class TestSession:
    """`nox -s envs` with the paths of tests."""

    def test_two_tests_are_compared(self, capsys: pytest.CaptureFixture[str]) -> None:
        names = ["test_big_fp4.py", "test_big_fp8.py"]
        assert main(["envs", "diff", *names, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert rows == [{"name": "FP4_EXPERTS", "left": "true", "right": "false"}]

    def test_a_test_is_shown_whole_with_what_each_set_gave(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["envs", "show", "test_big_fp4.py", "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out).values()
        assert shown["ATTENTION_BACKEND"]["source"] == "big_model.COMMON"
        assert shown["TEST_MAX_RETRY"]["source"] == "base.BASE"

    def test_a_test_that_is_not_there_is_a_usage_error_with_the_nearest(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["envs", "show", "test/registered/amd/test_big_fp5.py"]) == 2
        assert "test_big_fp4.py" in capsys.readouterr().err
