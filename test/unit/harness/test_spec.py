"""What the harness reads from the agent, and what it says when that is missing."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import register, spec
from harness.errors import MissingRowError, SpecError
from support.harness_run import MODEL, TEST, spec_data, use_spec

pytestmark = pytest.mark.in_container

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path):
        yield


@pytest.mark.usefixtures("_spec")
def test_spec_becomes_values(tmp_path: Path) -> None:
    current = spec.current()
    assert current.test == TEST
    assert current.run_dir == tmp_path
    assert current.rehearsal
    assert current.features == {"chat", "completions"}
    stand_in = current.model(MODEL).stand_in
    assert stand_in is not None
    assert (stand_in.package, stand_in.slots, stand_in.context) == ("tiny_weights", 2, 64)
    assert current.limits.stop_s == 5


@pytest.mark.usefixtures("_spec")
def test_what_has_no_row_is_named_with_its_file() -> None:
    with pytest.raises(MissingRowError, match=r"'org/other'.*ci/catalog/models\.toml.*org/model"):
        spec.current().model("org/other")


@pytest.mark.usefixtures("_spec")
def test_rehearsal_replaces_sizes_that_its_stand_in_names() -> None:
    assert spec.current().sizes(MODEL, "gsm8k", items=1319, shots=8, max_tokens=512) == {
        "items": 3,
        "shots": 1,
        "max_tokens": 512,
    }


def test_real_run_keeps_the_requested_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = {MODEL: {"path": MODEL, "stand_in": None}}
    with use_spec(monkeypatch, tmp_path, rehearsal=False, engine="sglang", models=models):
        assert spec.current().sizes(MODEL, "gsm8k", items=200) == {"items": 200}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('{"run_dir": "/x"}', "does not fit docs/harness.md: KeyError 'harness'"),
        ('{"run_dir": "/x", "harness": []}', "does not fit docs/harness.md: TypeError"),
    ],
)
def test_spec_that_is_none_says_which_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    monkeypatch.setenv("AMD_CI_SPEC", str(path))
    spec.current.cache_clear()
    with pytest.raises(SpecError) as error:
        spec.current()
    assert str(path) in str(error.value)
    assert says in str(error.value)
    assert error.value.verdict == "infra"


def test_every_key_of_the_harness_object_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = spec_data(tmp_path)
    for key in whole["harness"]:
        data = {**whole, "harness": {name: value for name, value in whole["harness"].items() if name != key}}
        (tmp_path / "spec.json").write_text(json.dumps(data))
        monkeypatch.setenv("AMD_CI_SPEC", str(tmp_path / "spec.json"))
        spec.current.cache_clear()
        with pytest.raises(SpecError, match=key):
            spec.current()


@pytest.mark.parametrize(
    ("suite", "session"),
    [
        ("stage-a-test-1-gpu-small-amd", "stage_a_amd"),
        ("stage-b-test-2-gpu-large-amd", "stage_b_amd"),
        ("stage-c-test-4-gpu-amd", "stage_c_amd"),
        ("nightly-amd-8-gpu-mi35x-deepseek-v4-pro", "nightly_dsv4_amd"),
    ],
)
def test_command_names_the_session_of_the_files_suite(tmp_path: Path, suite: str, session: str) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(f'import os\n\nregister_amd_ci(\n    est_time=1, suite="{suite}"\n)\n')
    assert spec.command_that_runs(path) == f"nox -s {session} -- --test {path}"


@pytest.mark.processes
@pytest.mark.parametrize("start", [[], ["-m", "pytest"]], ids=["as a program", "by pytest"])
def test_file_that_is_started_by_hand_stops_with_the_command_that_runs_it(start: list[str]) -> None:
    file = "test/registered/sampling/test_sampling_parameters.py"
    environment = {
        key: value for key, value in os.environ.items() if key not in ("AMD_CI_SPEC", "PYTHONPATH")
    }
    ended = subprocess.run(
        [sys.executable, *start, file],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"next:  nox -s stage_b_amd -- --test {file}" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_registration_calls_take_what_sglangs_take_and_do_nothing() -> None:
    for name in register.__all__:
        call = getattr(register, name)
        parameters = inspect.signature(call).parameters.values()
        assert [(p.name, p.default, p.kind is p.KEYWORD_ONLY) for p in parameters] == [
            ("est_time", inspect.Parameter.empty, False),
            ("suite", None, False),
            ("nightly", False, False),
            ("disabled", None, False),
            ("stage", None, True),
            ("runner_config", None, True),
        ]
        assert call(5, "some-suite", nightly=True, disabled="a reason") is None
        assert call(est_time=1.5, stage="base-b", runner_config="1-gpu-small") is None
