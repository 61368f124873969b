"""What `ci_plan` decides: from an event and what has changed to the jobs of each wave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.errors import UsageError
from ci.github.ci_request import Asked
from ci.github.matrix import ImageOf, Waves, make_waves, stage_waves
from ci.plan.jobs import Changes, Reason, Selection, everything, select_changed
from ci.plan.model import TestWork

__all__ = ["JobPlan", "check_size", "plan_jobs"]

# jobs that GitHub makes of one matrix; it ends a workflow with more, without a word of which
_MATRIX_JOBS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A plan of jobs with everything that led to it. `full` says why all suites run, empty when changes decided.

    `would_skip` are the jobs that run only because the rules are tried.
    """

    event: str
    workflow: str
    changes: Changes
    full: str
    selection: Selection
    waves: Waves
    not_selected: tuple[str, ...]
    shadow: bool
    would_skip: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What happened, in one sentence."""
        jobs, files = len(self.waves.jobs), len(self.changes.files)
        many = "1 job" if jobs == 1 else f"{jobs} jobs"
        if self.full:
            return f"every suite is selected, {self.full}: {many}"
        if self.changes.unknown:
            return f"every suite is selected, since it is not known what has changed: {self.changes.unknown}: {many}"
        changed = "1 changed file" if files == 1 else f"{files} changed files"
        if self.shadow:
            return f"every suite runs, {many}; the rules would leave out {len(self.would_skip)} of them ({changed})"
        if not files:
            return "nothing has changed, so no test is selected"
        if not self.selection.choices:
            return f"no test is selected: {changed} and none of them is used by a suite of this workflow"
        return f"{changed} " + ("selects" if files == 1 else "select") + f" {many}"


def plan_jobs(
    catalog: Catalog,
    asked: Asked,
    changes: Changes | None,
    registered: Discovery,
    tests: Mapping[str, Sequence[TestWork]],
    image: ImageOf,
    *,
    event_source: str,
    shadow: bool,
) -> JobPlan:
    """The jobs that an event gets.

    Args:
        catalog: the rules of what a change selects, suites, routing.
        asked: the event with its inputs.
        changes: what has changed; None when all suites of `asked` run whatever it is.
        registered: the tree's registrations.
        tests: all enabled tests of each suite, by the suite's name.
        image: asked once for each job.
        event_source: who named the event.
        shadow: plan every suite, and only say what the rules would leave out.

    Raises:
        UsageError: a wave has more jobs than a matrix may have.
    """
    if changes is None:
        why = Reason(file="", rule="full-run", why=asked.full)
        selection, changes, shadow = (
            everything(asked.suites, why),
            Changes(tree="own", base="", files=()),
            False,
        )
    else:
        selection = _within(select_changed(catalog, registered, changes), asked)
    wave_of = stage_waves(catalog, asked.workflow)
    selected = waves = make_waves(catalog, selection.choices, tests, wave_of, asked.ask, image)
    if shadow:
        why = Reason(file="", rule="shadow", why="the rules are only tried: every suite runs")
        waves = make_waves(catalog, everything(asked.suites, why).choices, tests, wave_of, asked.ask, image)
    check_size(waves)
    kept = {job.name for job in selected.jobs}
    return JobPlan(
        event=f"{asked.ask.event} ({event_source})",
        workflow=asked.workflow.id,
        changes=changes,
        full=asked.full,
        selection=selection,
        waves=waves,
        not_selected=tuple(suite.name for suite in asked.suites if suite.name not in selection.choices),
        shadow=shadow,
        would_skip=tuple(job.name for job in waves.jobs if job.name not in kept),
        notes=_uncommitted(changes),
    )


def _uncommitted(changes: Changes) -> tuple[str, ...]:
    if not changes.uncommitted:
        return ()
    return (f"{changes.uncommitted} files are not committed and were not looked at: CI sees commits alone",)


def _within(selection: Selection, asked: Asked) -> Selection:
    """The part of a selection that is in scope."""
    names = {suite.name for suite in asked.suites}
    choices = {name: choice for name, choice in selection.choices.items() if name in names}
    return replace(selection, choices=choices)


def check_size(made: Waves) -> None:
    """Refuse what GitHub would not start.

    Raises:
        UsageError: a wave has more jobs than a matrix may have.
    """
    for number, wave in enumerate(made.waves, start=1):
        if len(wave) > _MATRIX_JOBS:
            raise UsageError(
                f"wave {number} has {len(wave)} jobs, a matrix may have {_MATRIX_JOBS}",
                cause="the shards in stages.toml add up to more",
                then="lower them, or start fewer stages: --stage S",
            )
