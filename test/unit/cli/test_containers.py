"""The container verbs."""

from pathlib import Path

import pytest

from ci.cli.containers import sweep_verb


def test_a_sweep_without_an_engine_says_that_it_looked_at_no_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_verb({"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
    printed = " ".join(capsys.readouterr().out.split())
    assert "containers not checked" in printed
    assert "DOCKER_HOST" in printed
