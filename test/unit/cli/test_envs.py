"""`nox -s envs` with the paths of tests."""

import json
from pathlib import Path

import pytest

from ci.cli.main import main
from support.trees import write_sglang_tree


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


class TestScripts:
    """`nox -s envs -- diff` with other people's files."""

    def test_a_script_is_compared_with_a_set_as_tests_have_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        script = tmp_path / "run.sh"
        script.write_text(
            "export ATTENTION_BACKEND=other FP4_EXPERTS=1\nexport HF_TOKEN=hf_x\npython3 -m x\n"
        )
        assert main(["envs", "diff", "big_model.FP4", str(script)]) == 0
        out, err = capsys.readouterr()
        assert "triton" in out
        assert "other" in out
        assert "FP4_EXPERTS" not in out
        assert "1 more have other text and are the same to what reads them" in out
        assert "hf_x" not in out
        assert "big_model.COMMON+big_model.FP4" in err

    def test_for_machines_a_secret_is_hidden_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        for command in (["diff", "base.BASE"], ["show"]):
            assert main(["envs", *command, "docker run -e HF_TOKEN=hf_x image", "--json"]) == 0
            assert "hf_x" not in capsys.readouterr().out

    def test_a_tree_says_what_is_the_same(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        reads = 'import os\nA = os.environ.get("A", "") == "1"\n'
        tree = write_sglang_tree(tmp_path / "tree", {"python/sglang/a.py": reads, "test/registered/x.py": ""})
        names = ["-e A=0", "-e A=maybe"]
        assert main(["envs", "diff", *names, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == [{"name": "A", "left": "0", "right": "maybe"}]
        assert main(["envs", "diff", *names, "--json", "--checkout", str(tree)]) == 0
        assert json.loads(capsys.readouterr().out) == []

    def test_only_diff_takes_a_tree(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["envs", "show", "--checkout", "x"]) == 2
        assert "show takes no --checkout" in capsys.readouterr().err
