"""Tests that the engine cannot run are skipped with a reason; misspelt needs are not."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import MissingRowError
from harness.needs import needs, needs_capabilities, needs_modules
from support.harness_run import use_spec

pytestmark = pytest.mark.in_container

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path):
        yield


def test_what_the_engine_has_is_not_a_reason_to_skip() -> None:
    needs("chat", "completions")


def test_missing_feature_names_engine_feature_and_row() -> None:
    with pytest.raises(pytest.skip.Exception) as skipped:
        needs("chat", "score_api")
    assert str(skipped.value) == "engine llamacpp lacks 'score_api' (row in ci/catalog/engines.toml)"


def test_feature_that_no_engine_has_is_an_error_and_not_a_skip() -> None:
    with pytest.raises(MissingRowError, match=r"'chatt'.*chat, completions, score_api"):
        needs("score_api", "chatt")


def capability(*, allowed: bool, issue: str = "") -> dict[str, object]:
    return {"args": [], "allowed": allowed, "why": "the server refuses --tp 2", "issue": issue}


def test_a_capability_that_is_not_allowed_skips_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = {"dp": capability(allowed=True), "tp": capability(allowed=False, issue="https://x/1")}
    with use_spec(monkeypatch, tmp_path, capabilities=rows):
        needs_capabilities("dp")
        with pytest.raises(pytest.skip.Exception) as skipped:
            needs_capabilities("dp", "tp")
    assert str(skipped.value) == "engine llamacpp on cpu has no tp: the server refuses --tp 2 (https://x/1)"


def test_a_capability_without_a_row_is_an_error_and_not_a_skip() -> None:
    with pytest.raises(MissingRowError, match="'tp' has no row for llamacpp on cpu"):
        needs_capabilities("tp")


def test_modules_are_handed_out_in_order() -> None:
    first, second = needs_modules("json", "json.decoder")
    assert first.dumps([1]) == "[1]"
    assert second.JSONDecoder is first.JSONDecoder


def test_missing_module_names_itself_and_the_interpreter() -> None:
    with pytest.raises(pytest.skip.Exception) as skipped:
        needs_modules("json", "no_such_package.part")
    assert "'no_such_package' is not installed" in str(skipped.value)
    assert sys.executable in str(skipped.value)


def test_module_that_is_installed_and_broken_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_aiter.py").write_text("from json import dynamic_per_tensor_quant\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="dynamic_per_tensor_quant"):
        needs_modules("broken_aiter")


@pytest.mark.processes
@pytest.mark.parametrize(
    "source",
    [
        "needs('score_api')\n\ndef test_x():\n    raise AssertionError",
        "@pytest.fixture\ndef server():\n    needs('score_api')\n\ndef test_x(server):\n    raise AssertionError",
        """class TestX(unittest.TestCase):
    def setUp(self):
        needs('score_api')

    def test_x(self):
        raise AssertionError""",
        """class TestX(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        needs('score_api')

    def test_x(self):
        raise AssertionError""",
    ],
    ids=["module", "fixture", "setUp", "setUpClass"],
)
def test_skips_wherever_it_is(tmp_path: Path, source: str) -> None:
    file = tmp_path / "test_needing.py"
    head = """
        import unittest
        import pytest
        from harness.needs import needs
    """
    file.write_text(textwrap.dedent(head) + "\n" + source + "\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "test"),
            "COLUMNS": "200",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 skipped" in ended.stdout, ended.stdout + ended.stderr
    assert "engine llamacpp lacks 'score_api' (row in ci/catalog/engines.toml)" in ended.stdout
