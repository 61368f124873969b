"""What an event and the inputs of a workflow ask for."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.errors import Problem
from ci.github.ci_request import Asked, base_of, base_of_event, event_of, read_ask
from support.planning import STAGE_A, catalog

FOUR_GPU, EIGHT = "stage-c-test-4-gpu-amd", "stage-c-test-8-gpu-amd"


def asked(
    event: str = "pull_request",
    inputs: Mapping[str, str] | None = None,
    *,
    stages: tuple[str, ...] = (),
    workflow: str = "",
) -> Asked:
    problems: list[Problem] = []
    environ = {f"INPUT_{name.upper()}": value for name, value in (inputs or {}).items()}
    found = read_ask(catalog(), environ, workflow=workflow, event=event, stages=stages, problems=problems)
    assert problems == []
    return found


def refused(**inputs: str) -> list[str]:
    problems: list[Problem] = []
    environ = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
    read_ask(catalog(), environ, workflow="", event="workflow_dispatch", stages=(), problems=problems)
    return [problem.where for problem in problems]


def test_a_pull_request_is_planned_by_its_changes_and_everything_else_in_full() -> None:
    assert asked().full == ""
    assert not asked().ask.at_once
    for full in (
        asked("schedule"),
        asked("workflow_dispatch"),
        asked(inputs={"run_all_tests": "true"}),
        asked(inputs={"target_stage": STAGE_A}),
    ):
        assert full.full
        assert full.ask.at_once


def test_each_workflow_has_its_suites() -> None:
    assert {suite.nightly for suite in asked().suites} == {False}
    assert {suite.nightly for suite in asked("schedule", workflow="amd-nightly").suites} == {True}


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"target_stage_select": STAGE_A}, [STAGE_A]),
        (
            {"target_stage_select": "stage-a-amd", "target_stage": f" {FOUR_GPU} , stage_a_amd,"},
            [STAGE_A, FOUR_GPU],
        ),
        ({"target_stage": EIGHT}, [EIGHT]),
    ],
)
def test_stages_are_named_by_stage_session_or_suite(inputs: dict[str, str], names: list[str]) -> None:
    assert [suite.name for suite in asked("workflow_dispatch", inputs).suites] == names


def test_the_command_line_goes_before_the_inputs() -> None:
    found = asked("schedule", stages=("stage_a_amd",), inputs={"target_stage": FOUR_GPU})
    assert [suite.name for suite in found.suites] == [STAGE_A]


@pytest.mark.parametrize(
    "inputs",
    [
        {"runner_arch": "west"},
        {"runner_arch": "nort"},
        {"rocm": "71"},
        {"run_all_tests": "yes"},
        {"continue_on_error": "1"},
        {"target_stage": "stage-z"},
        {"target_stage": "nightly-amd-8-gpu-west-big-flash"},
        {"target_stage_select": "1-gpu-small"},
        {"pr_head_sha": "$(id)"},
        {"pr_head_sha": "--upload-pack=x"},
        {"ref": "a..b"},
        {"aiter_ref": "x; rm -rf /"},
    ],
)
def test_invalid_inputs_are_refused_by_name(inputs: dict[str, str]) -> None:
    ((name, _),) = inputs.items()
    assert refused(**inputs) == [f"INPUT_{name.upper()}"]


def test_all_bad_inputs_are_named_at_once() -> None:
    assert len(refused(runner_arch="x", rocm="x", run_all_tests="x", target_stage="x", pr_head_sha="$x")) == 5


@pytest.mark.parametrize(
    "event", ["", "[]", '{"pull_request": {"base": {"sha": "main"}}}', '{"pull_request": null}', "{"]
)
def test_an_event_without_a_base_has_none(event: str) -> None:
    assert base_of_event(event) == ""


def test_the_base_of_an_event() -> None:
    assert base_of_event(json.dumps({"pull_request": {"base": {"sha": "a" * 40}}})) == "a" * 40


def test_the_event_is_the_command_lines_else_that_of_actions() -> None:
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule"}
    assert event_of(actions, "workflow_dispatch") == ("workflow_dispatch", "--event")
    assert event_of(actions, "") == ("schedule", "GITHUB_EVENT_NAME")
    for environ in ({}, {"GITHUB_EVENT_NAME": "schedule"}, {"GITHUB_ACTIONS": "true"}):
        assert event_of(environ, "")[0] == "pull_request"


def test_the_base_is_the_command_lines_else_that_of_the_events_file(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"pull_request": {"base": {"sha": "a" * 40}}}))
    environ = {"GITHUB_EVENT_PATH": str(file)}
    assert base_of(environ, "main") == ("main", "--base")
    assert base_of(environ, "")[0] == "a" * 40
    assert base_of({}, "")[0] == ""
    assert base_of({"GITHUB_EVENT_PATH": str(tmp_path / "none")}, "")[0] == ""
