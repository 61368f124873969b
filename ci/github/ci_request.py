"""What an event and its inputs ask for, read from the environment of the plan job and checked whole."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Suite
from ci.catalog.toml_reader import closest
from ci.catalog.workflows import WorkflowRow
from ci.errors import Problem
from ci.github.matrix import Ask, suites_of
from ci.plan.route import pools_with_a_choice

__all__ = ["EVENTS", "Asked", "base_of", "base_of_event", "event_of", "read_ask"]

_PULL_REQUEST = "pull_request"
# what `--event` may name
EVENTS = (_PULL_REQUEST, "schedule", "workflow_dispatch")
_FLAGS = {"": False, "false": False, "true": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An event with its inputs. `suites` are those in scope; `full`, when not empty, says why all of them run."""

    workflow: WorkflowRow
    ask: Ask
    suites: tuple[Suite, ...]
    full: str


def read_ask(
    catalog: Catalog,
    environ: Mapping[str, str],
    *,
    workflow: str,
    event: str,
    stages: Sequence[str],
    problems: list[Problem],
) -> Asked:
    """Read and check the request; what is invalid is added to `problems`.

    Args:
        catalog: knows workflows, inputs, suites, pools.
        environ: holds the inputs as INPUT_*.
        workflow: an id of kind `tests`; empty: the first one.
        event: GitHub's name of the event.
        stages: stages and suites named on the command line, over the inputs.
        problems: where problems go.
    """
    row = _workflow(catalog, workflow, problems)
    inputs = {one.id: environ.get(one.variable, "").strip() for one in catalog.actions.inputs}
    for one in catalog.actions.inputs:
        if one.options and inputs[one.id] not in ("", *one.options):
            hint = closest(inputs[one.id], one.options)
            problems.append(Problem(where=one.variable, what=f"is {inputs[one.id]!r}, not known", hint=hint))
    run_all, go_on = (_flag(inputs, name, problems) for name in ("run_all_tests", "continue_on_error"))
    pools = pools_with_a_choice(catalog)
    if inputs.get("runner_arch") not in ("", None, *pools):
        hint = closest(inputs["runner_arch"], pools)
        problems.append(
            Problem(where="INPUT_RUNNER_ARCH", what=f"unknown pool {inputs['runner_arch']!r}", hint=hint)
        )
    for name in ("pr_head_sha", "ref", "aiter_ref"):
        # they reach git and a file name: what no git ref may hold, or what an option begins with, is refused
        if not re.fullmatch(r"(?!-)[\w./+@-]*", inputs.get(name, "")) or ".." in inputs.get(name, ""):
            what = f"is {inputs[name]!r}, which is not a commit, branch or tag"
            problems.append(Problem(where=f"INPUT_{name.upper()}", what=what))
    named, where = _targets(inputs, stages)
    suites = _scope(catalog, row, named, where, problems)
    full = ""
    if event != _PULL_REQUEST:
        full = f"the event is {event}"
    elif run_all:
        full = "run_all_tests is set"
    elif named:
        full = f"named by {where}"
    return Asked(
        workflow=row,
        ask=Ask(
            event=event,
            at_once=bool(full),
            pool=inputs.get("runner_arch", "") if inputs.get("runner_arch") in pools else "",
            rocm=inputs.get("rocm", ""),
            continue_on_error=go_on,
        ),
        suites=suites,
        full=full,
    )


def event_of(environ: Mapping[str, str], named: str) -> tuple[str, str]:
    """The event and its source: the command line, Actions, or the default."""
    if named:
        return named, "--event"
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_EVENT_NAME"):
        return environ["GITHUB_EVENT_NAME"], "GITHUB_EVENT_NAME"
    return _PULL_REQUEST, "default: not in Actions"


def base_of(environ: Mapping[str, str], named: str) -> tuple[str, str]:
    """The commit to compare with, empty when there is none, and its source or why it is unknown."""
    if named:
        return named, "--base"
    file = environ.get("GITHUB_EVENT_PATH")
    if not file:
        return "", "neither --base nor a GitHub event"
    try:
        event = Path(file).read_text(errors="replace")
    except OSError as error:
        return "", f"cannot read GITHUB_EVENT_PATH: {error.strerror}"
    return base_of_event(event), "the event's pull_request.base.sha"


def base_of_event(event: str) -> str:
    """The base commit in a pull request's event, as JSON text; empty where it has none."""
    try:
        found: Any = json.loads(event)["pull_request"]["base"]["sha"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) and re.fullmatch("[0-9a-f]{40,64}", found) else ""


def _workflow(catalog: Catalog, name: str, problems: list[Problem]) -> WorkflowRow:
    rows = {row.id: row for row in catalog.actions.of_kind("tests")}
    if name and name not in rows:
        what = f"unknown workflow {name!r} that runs suites"
        problems.append(Problem(where="--workflow", what=what, hint=closest(name, rows)))
    return rows.get(name) or next(iter(rows.values()))


def _flag(inputs: Mapping[str, str], name: str, problems: list[Problem]) -> bool:
    value = inputs.get(name, "").lower()
    if value not in _FLAGS:
        problems.append(
            Problem(where=f"INPUT_{name.upper()}", what=f"is {value!r}", hint="true, false or empty")
        )
    return _FLAGS.get(value, False)


def _targets(inputs: Mapping[str, str], stages: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Names of stages and suites, and who named them: the command line, the comma list, the dropdown."""
    for items, where in (
        (stages, "--stage"),
        ((inputs.get("target_stage", ""),), "INPUT_TARGET_STAGE"),
        ((inputs.get("target_stage_select", ""),), "INPUT_TARGET_STAGE_SELECT"),
    ):
        names = [name.strip() for item in items for name in item.split(",")]
        if any(names):
            return tuple(dict.fromkeys(name for name in names if name)), where
    return (), ""


def _scope(
    catalog: Catalog, workflow: WorkflowRow, named: Sequence[str], where: str, problems: list[Problem]
) -> tuple[Suite, ...]:
    """The selected suites, in the catalog's order; by default all of the workflow."""
    here = suites_of(catalog, workflow)
    if not named:
        return here
    chosen: set[str] = set()
    for name in named:
        found = {
            suite.name
            for suite in catalog.suites
            if name in (suite.name, suite.stage, catalog.stage(suite.stage).session)
        }
        mine = found & {suite.name for suite in here}
        chosen |= mine
        if found and not mine:
            others = [row.id for row in catalog.actions.of_kind("tests") if row.id != workflow.id]
            hint = f"start {' or '.join(others)} instead"
            problems.append(Problem(where=where, what=f"{name!r} is not run by {workflow.id}", hint=hint))
        elif not found:
            known = [*dict.fromkeys(suite.stage for suite in here), *(suite.name for suite in here)]
            what = f"unknown stage or suite {name!r}"
            problems.append(Problem(where=where, what=what, hint=closest(name, known)))
    return tuple(suite for suite in here if suite.name in chosen)
