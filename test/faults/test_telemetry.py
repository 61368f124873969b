"""What an OTLP endpoint costs a real run: one line and at most three seconds, whatever it does."""

import time
from pathlib import Path

import pytest

from ci.report.telemetry.export import LIMIT_S
from support.files import Ended, ci, copy_repository, only_tests, registered, run_folder, set_limits
from support.otlp import collector

RED = registered("def test_red() -> None:\n    assert 1 == 2\n")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = copy_repository(tmp_path_factory.mktemp("telemetry") / "repository")
    only_tests(repository, {"amd/test_red.py": RED})
    set_limits(repository, {"agent.settle_s": 0.05})
    return repository


def red_run(copy: Path, runs: Path, **env: str) -> tuple[Ended, float]:
    """A run that fails, and how long its process took from the end of its tests."""
    done = ci("run", "stage-a-amd", "--hardware", "cpu", runs=runs, cwd=copy, env=env)
    written_s = run_folder(runs).joinpath("events.jsonl").stat().st_mtime
    return done, time.time() - written_s


@pytest.mark.alone
def test_a_run_is_the_same_with_every_endpoint_but_for_one_line(copy: Path, tmp_path: Path) -> None:
    plain, plain_s = red_run(copy, tmp_path / "0/runs")
    assert plain.code == 1, plain.text
    assert "traces:" not in plain.text
    endpoints = {"working": (200, True), "refusing": (403, True), "silent": (200, False)}
    for number, (name, (status, answers)) in enumerate(endpoints.items(), start=1):
        with collector(status=status, answers=answers) as endpoint:
            runs = tmp_path / str(number) / "runs"
            done, took_s = red_run(copy, runs, AMD_CI_OTEL="1", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.url)
            assert endpoint.bodies, name
        assert done.code == 1, done.text
        (own,) = [line for line in done.text.splitlines() if "traces:" in line]
        assert endpoint.url in own
        assert took_s < plain_s + LIMIT_S + 1.5, name
        assert len(done.text.splitlines()) == len(plain.text.splitlines()) + 1, name
    gone, _ = red_run(
        copy, tmp_path / "gone/runs", AMD_CI_OTEL="1", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"
    )
    assert gone.code == 1
    assert "traces: not sent" in gone.text
    assert "Traceback" not in gone.text


def test_json_stays_json(copy: Path, tmp_path: Path) -> None:
    with collector() as endpoint:
        env = {"AMD_CI_OTEL": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url}
        done = ci(
            "run", "stage-a-amd", "--json", "--hardware", "cpu", runs=tmp_path / "runs", cwd=copy, env=env
        )
    assert done.events()[-1]["type"] == "run-ended"
    assert "traces: sent to" in done.err
    kinds = {span.name.partition(" ")[0] for span in endpoint.spans}
    assert kinds == {"RUN", "suite", "test", "attempt"}
