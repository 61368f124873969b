"""A run that ends with its first failure says whose it was: not that of a test whose second attempt passed."""

from pathlib import Path

from support.slurm_runs import Project


def test_a_flaky_test_is_not_named_as_the_failure(project: Project, tmp_path: Path) -> None:
    mark = str(tmp_path / "tried")
    fault = "raise RuntimeError('HIP error: unspecified launch failure')"
    project.set_tests(
        {
            "flaky": f"time.sleep(1) if os.path.exists({mark!r}) else exec({f'open({mark!r}, chr(119)); {fault}'!r})",
            "bad": "time.sleep(6); sys.exit(1)",
            **dict.fromkeys([f"t{number}" for number in range(6)], "time.sleep(3)"),
        }
    )
    run = project.run("--nodes", "2", "--fail-fast")
    assert run.wait() == 1, run.text
    outcomes = run.outcomes()
    assert outcomes["flaky"] == "passed", run.text
    assert outcomes["bad"] == "product"
    assert len(run.of("retry")) == 1
    because = {event["because"] for event in run.of("test-not-run")}
    assert len(because) == 1
    assert "test_bad.py" in because.pop()
