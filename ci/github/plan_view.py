"""Showing what `ci_plan` decided: a table for people, Markdown for the run's page."""

from dataclasses import dataclass

from ci.github.matrix import Waves
from ci.plan.jobs import Changes, Choice, Selection
from ci.report.console import Console, Rule, Text, new_table
from ci.report.final.summary import code
from ci.report.text import one_line

__all__ = ["ShownPlan", "plan_markdown", "show_ci_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
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


def show_ci_plan(console: Console, shown: ShownPlan, *, why: bool) -> None:
    """The jobs by wave; with `why` also each suite's files and rules."""
    console.print(Rule(Text(f"{shown.workflow}, {shown.event}", style="bold")))
    console.print(Text(shown.sentence))
    for number, wave in enumerate(shown.waves.waves, start=1):
        table = new_table(f"wave {number}: {len(wave)} job" + ("" if len(wave) == 1 else "s"))
        for column in ("job", "session", "suite", "shard", "rocm", "step", "job limit"):
            table.add_column(column, overflow="fold")
        for job in wave:
            limits = f"{job.step_timeout_minutes} min", f"{job.timeout_minutes} min"
            cells = (job.name, job.session, job.suite, job.shard, job.rocm, *limits)
            table.add_row(*(Text(cell) for cell in cells))
        if wave:
            console.print(table)
    if why:
        _show_why(console, shown)
    for row in shown.waves.not_made:
        console.print(Text(f"no job: {row.suite}: {row.because}"))
    if shown.not_selected and not shown.shadow:
        console.print(Text(f"not selected: {', '.join(shown.not_selected)}"))
    for name in shown.would_skip:
        console.print(Text(f"shadow: the rules would leave out {name}"))
    for note in shown.notes:
        console.print(Text(f"note: {note}"))


def _show_why(console: Console, shown: ShownPlan) -> None:
    table = new_table("why")
    for column in ("suite", "file", "rule", "because"):
        table.add_column(column, overflow="fold")
    for choice in shown.selection.choices.values():
        for reason in choice.reasons:
            cells = _name(choice), one_line(reason.file) or "-", reason.rule, one_line(reason.why)
            table.add_row(*(Text(cell) for cell in cells))
    for reason in shown.selection.nothing:
        cells = "nothing", one_line(reason.file), reason.rule, one_line(reason.why)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def _name(choice: Choice) -> str:
    if choice.tests is None:
        return choice.suite
    return f"{choice.suite}: {', '.join(sorted(choice.tests))}"


def plan_markdown(shown: ShownPlan) -> str:
    """The same for the run's page. Paths and reasons come from outside and never become markup."""
    lines = ["## Plan", "", code(shown.sentence), ""]
    jobs = [(number, job) for number, wave in enumerate(shown.waves.waves, start=1) for job in wave]
    if jobs:
        lines += ["| wave | job | session | limit |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {number} | {code(job.name)} | {code(job.session)} | {job.step_timeout_minutes} min |"
            for number, job in jobs
        ]
        lines.append("")
    if not shown.full:
        reasons = [
            (_name(choice), reason)
            for choice in shown.selection.choices.values()
            for reason in choice.reasons
        ]
        reasons += [("nothing", reason) for reason in shown.selection.nothing]
        if reasons:
            lines += ["| selected | file | rule | because |", "| --- | --- | --- | --- |"]
            lines += [
                f"| {code(name)} | {code(reason.file) or '-'} | {code(reason.rule)} | {code(reason.why)} |"
                for name, reason in reasons
            ]
            lines.append("")
    lines += [f"- no job: {code(row.suite)}: {code(row.because)}" for row in shown.waves.not_made]
    lines += [f"- shadow, the rules would leave out: {code(job)}" for job in shown.would_skip]
    lines += [f"- not selected: {code(name)}" for name in shown.not_selected if not shown.shadow]
    lines += [f"- {code(note)}" for note in shown.notes]
    return "\n".join(lines) + "\n\n"
