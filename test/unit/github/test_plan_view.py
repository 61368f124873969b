"""The planned jobs as a page."""

from typing import Any

from ci.github.job_plan import JobPlan
from ci.github.matrix import Waves
from ci.github.plan_view import plan_markdown
from ci.plan.jobs import ChangedFile, Changes, Reason, Selection
from support.planning import STAGE_A


def shown(**changes: Any) -> JobPlan:
    values: dict[str, Any] = {
        "event": "pull_request",
        "workflow": "amd-pr",
        "changes": Changes(tree="own", base="b", files=(ChangedFile(path="README.md"),)),
        "full": "",
        "selection": Selection(choices={}, nothing=(Reason(file="a|b`<x>.md", rule="docs", why="text"),)),
        "waves": Waves(waves=((), (), ()), not_made=()),
        "not_selected": (STAGE_A,),
        "shadow": False,
        "would_skip": (),
        "notes": (),
    }
    return JobPlan(**{**values, **changes})


def test_the_page_says_that_nothing_runs_and_keeps_paths_from_being_markup() -> None:
    text = plan_markdown(shown())
    assert "no test is selected: 1 changed file" in text
    assert "a|b" not in text
    assert "<x>" not in text


def test_shadow_names_what_the_rules_would_leave_out() -> None:
    text = plan_markdown(shown(shadow=True, would_skip=("suite (label)",)))
    assert "the rules would leave out 1 of them" in text
    assert "shadow, the rules would leave out: <code>suite (label)</code>" in text
