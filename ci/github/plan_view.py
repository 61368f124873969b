"""Showing what `ci_plan` decided: a table for people, Markdown for the run's page."""

from dataclasses import asdict
from typing import Any

from ci.catalog.catalog import Catalog
from ci.github.job_plan import JobPlan
from ci.plan.jobs import Choice
from ci.report.console import Console, Rule, Text, new_table
from ci.report.final.summary import code
from ci.report.text import one_line

__all__ = ["plan_data", "plan_markdown", "show_ci_plan"]


def show_ci_plan(console: Console, shown: JobPlan, *, why: bool) -> None:
    """The jobs by wave; with `why` also each suite's files and rules."""
    console.print(Rule(Text(f"{shown.workflow}, {shown.event}", style="bold")))
    console.print(shown.sentence)
    for number, wave in enumerate(shown.waves.waves, start=1):
        table = new_table(
            "job",
            "session",
            "suite",
            "shard",
            "rocm",
            "step",
            "job limit",
            title=f"wave {number}: {len(wave)} job" + ("" if len(wave) == 1 else "s"),
        )
        for job in wave:
            limits = f"{job.step_timeout_minutes} min", f"{job.timeout_minutes} min"
            table.add_row(job.name, job.session, job.suite, job.shard, job.rocm, *limits)
        if wave:
            console.print(table)
    if why:
        _show_why(console, shown)
    for row in shown.waves.not_made:
        console.print(f"no job: {row.suite}: {row.because}")
    if shown.not_selected and not shown.shadow:
        console.print(f"not selected: {', '.join(shown.not_selected)}")
    for name in shown.would_skip:
        console.print(f"shadow: the rules would leave out {name}")
    for note in shown.notes:
        console.print(f"note: {note}")


def _show_why(console: Console, shown: JobPlan) -> None:
    table = new_table("suite", "file", "rule", "because", title="why")
    for choice in shown.selection.choices.values():
        for reason in choice.reasons:
            table.add_row(_name(choice), one_line(reason.file) or "-", reason.rule, one_line(reason.why))
    for reason in shown.selection.nothing:
        table.add_row("nothing", one_line(reason.file), reason.rule, one_line(reason.why))
    console.print(table)


def _name(choice: Choice) -> str:
    if choice.tests is None:
        return choice.suite
    return f"{choice.suite}: {', '.join(sorted(choice.tests))}"


def plan_data(shown: JobPlan, catalog: Catalog) -> dict[str, Any]:
    """Everything, for machines; without the images."""
    choices = shown.selection.choices
    return {
        "event": shown.event,
        "workflow": shown.workflow,
        "base": shown.changes.base,
        "base_unknown": shown.changes.unknown,
        "changed_files": [file.path for file in shown.changes.files],
        "full": shown.full,
        "says": shown.sentence,
        "waves": [[asdict(job) for job in wave] for wave in shown.waves.waves],
        "suites": [
            {
                "suite": name,
                "stage": next(suite.stage for suite in catalog.suites if suite.name == name),
                "tests": sorted(choice.tests) if choice.tests is not None else None,
                "reasons": [asdict(reason) for reason in choice.reasons],
            }
            for name, choice in choices.items()
        ],
        "selects_nothing": [asdict(reason) for reason in shown.selection.nothing],
        "not_selected": list(shown.not_selected),
        "not_made": [asdict(row) for row in shown.waves.not_made],
        "shadow": shown.shadow,
        "would_skip": list(shown.would_skip),
        "notes": list(shown.notes),
    }


def plan_markdown(shown: JobPlan) -> str:
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
