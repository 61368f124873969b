"""The stage job as its runner gets it."""

from dataclasses import asdict

import pytest

from ci.errors import Problem
from ci.github.parity.stage_job import StageJob, read_stage_job
from support.parity import jobs, stage_text

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # git says the commit of the plans


def read(text: str, **inputs: str) -> tuple[StageJob | None, list[str]]:
    problems: list[Problem] = []
    found = read_stage_job(text, asdict(jobs()[0]), inputs, problems, where="stage.yml")
    return found, [str(problem) for problem in problems]


def test_the_stage_job_is_read_as_its_runner_gets_it() -> None:
    found, problems = read(stage_text())
    assert problems == []
    assert found is not None
    assert found.runner == jobs()[0].runner
    assert found.session == "stage_a_amd"
    assert found.options == (
        "--executor",
        "docker",
        "--suite",
        "1-gpu-small",
        "--shard",
        "1/1",
        "--checkout",
        "",
    )
    assert found.env["AMD_CI_RUNNER_LABEL"] == found.runner
    assert "HF_TOKEN" in found.secrets
    assert "HF_TOKEN" not in found.env


def test_inputs_fill_what_depends_on_them() -> None:
    found, _ = read(stage_text(), tree="a" * 40, aiter_ref="v1")
    assert found is not None
    assert found.options[-2:] == ("--checkout", "sglang")
    assert found.env["AMD_CI_AITER_REF"] == "v1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs: [", "is not YAML"),
        ("on: push", "is not exactly one job"),
        ("jobs: {a: {}, b: {}}", "is not exactly one job"),
        ("jobs: {a: {steps: [{run: echo}]}}", "0 of them start Nox"),
        (
            "jobs: {a: {steps: [{run: exec uvx nox@1 -s x}, {run: exec uvx nox@1 -s y}]}}",
            "2 of them start Nox",
        ),
        (
            "jobs: {a: {runs-on: '${{ matrix.gone }}', steps: [{run: exec uvx nox@1 -s x}]}}",
            "the matrix has no 'gone'",
        ),
        (
            "jobs: {a: {runs-on: '${{ vars.X }}', steps: [{run: exec uvx nox@1 -s x}]}}",
            "not understood: vars.X",
        ),
        ("jobs: {a: {timeout-minutes: soon, steps: [{run: exec uvx nox@1 -s x}]}}", "no number of minutes"),
    ],
)
def test_what_can_t_be_read_is_a_problem_and_no_guess(text: str, words: str) -> None:
    _, problems = read(text)
    assert words in "\n".join(problems)
