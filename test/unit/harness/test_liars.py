"""A server without a model, however polite, does not pass the registered tests; one with a model does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.lying_server import ENGINES, LIARS

pytestmark = pytest.mark.processes

TESTS = Path(__file__).parents[2]
DETERMINISM = "sampling/test_greedy_determinism.py"
SANITY = "amd/test_basic_sanity.py"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "support.lying_server", *(f"registered/{file}" for file in (DETERMINISM, SANITY))],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    assert set(found) == set(ENGINES)
    return found


def test_a_model_passes(outcomes: dict[str, dict[str, str]]) -> None:
    honest = outcomes["Honest"]
    assert {case: outcome for case, outcome in honest.items() if outcome == "failed"} == {}
    assert sum(outcome == "passed" for outcome in honest.values()) > 10


@pytest.mark.parametrize("liar", [liar.__name__ for liar in LIARS])
def test_a_liar_fails(outcomes: dict[str, dict[str, str]], liar: str) -> None:
    assert "failed" in ends(outcomes[liar], DETERMINISM)
    # eight tokens are the model's own: this file asks for no more where it looks closely
    assert ("failed" in ends(outcomes[liar], SANITY)) is (liar != "RunsDry")


def ends(cases: dict[str, str], file: str) -> set[str]:
    return {outcome for case, outcome in cases.items() if case.startswith(file)}
