"""Showing a checkout's own facts, and what differs from our rows."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ci.plan.tree.differences import Difference
from ci.plan.tree.model import CallKind, JobCell, Stated, TestCall, TreeFacts, TreeJob
from ci.plan.tree.suites import TreeSuite
from ci.report.console import Console, Rule, Text, new_table
from ci.system.codec import encode

__all__ = ["show_differences", "show_names", "show_tree", "tree_data"]


def show_tree(console: Console, tree: TreeFacts) -> None:
    """What the runner knows, then every job of AMD's, one row for each call, then what could not be read."""
    console.print(Rule(Text(tree.root, style="bold")))
    registry = tree.registry
    facts = new_table("of the runner", "value", "at")
    facts.add_row(
        Text("registrars"),
        Text(", ".join(row.name for row in registry.registrars)),
        _first(registry.registrars),
    )
    for root in registry.roots:
        facts.add_row(Text("looks in"), Text(f"{root.path}/**/{root.glob}"), Text(root.source))
    facts.add_row(
        Text("leaves out"), Text(", ".join(row.value for row in registry.exempt)), _first(registry.exempt)
    )
    amd = [row for row in registry.suites if row.backend == "amd"]
    facts.add_row(Text("AMD suites in its lists"), Text(str(len(amd))), _first(amd))
    facts.add_row(Text("checks the names of"), Text(", ".join(registry.checked) or "no backend"), Text(""))
    for name, stated in _defaults(tree):
        facts.add_row(Text(name), Text(f"{stated.value:g}"), Text(stated.source))
    facts.add_row(Text("parts"), Text(registry.partition.value), Text(registry.partition.source))
    console.print(facts)
    jobs = new_table("job", "jobs", "runs", "parts", "runner", "limits", "ROCm", "at")
    for job in tree.amd_jobs:
        for row in _rows(job):
            jobs.add_row(*(Text(cell) for cell in row))
    console.print(jobs)
    for problem in tree.unread:
        console.print(Text(f"not read: {problem}"))
    console.print(Text(summary(tree)))


def show_names(tree: TreeFacts) -> None:
    """Every name once, for a pipe: those of runs without inputs, then those that a choice of inputs makes."""
    cells = [cell for job in tree.amd_jobs for cell in job.cells]
    names = dict.fromkeys(cell.name for cell in sorted(cells, key=lambda cell: bool(cell.inputs)))
    sys.stdout.writelines(f"{name}\n" for name in names)


def summary(tree: TreeFacts) -> str:
    """How much there is, in one line."""
    jobs = list(tree.amd_jobs)
    names = {cell.name for job in jobs for cell in job.started}
    calls = {
        call.suite for job in jobs for cell in job.cells for call in cell.calls if call.kind is CallKind.SUITE
    }
    return (
        f"{len(tree.workflows)} workflows, {len(jobs)} AMD jobs with {len(names)} names, {len(calls)} suites; "
        f"{len(tree.unread)} not read"
    )


def _defaults(tree: TreeFacts) -> Iterable[tuple[str, Stated[float]]]:
    defaults = tree.registry.defaults
    rows = (
        ("seconds a file", defaults.timeout_per_file_s),
        ("attempts with --enable-retry", defaults.max_attempts),
        ("seconds before a retry", defaults.retry_wait_s),
        ("seconds more with a retry", defaults.retry_timeout_increase_s),
    )
    return ((name, stated) for name, stated in rows if stated is not None)


def _first(rows: Sequence[Any]) -> Text:
    return Text(rows[0].source if rows else "")


def _rows(job: TreeJob) -> Iterable[tuple[str, ...]]:
    """One row for each call of the job's first cell; a job that runs no test has one without."""
    if not job.started:
        yield (job.id, "", f"calls {job.uses.rpartition('/')[2]}", "", "", "", "", job.source)
        return
    cell, count = job.started[0], "?" if job.size is None else str(job.size)
    if not cell.calls:
        yield (job.id, count, "no tests", "", cell.label, "", _rocm(cell), job.source)
    for number, call in enumerate(cell.calls):
        yield (
            "" if number else job.id,
            "" if number else count,
            _runs(call),
            "" if call.parts is None else str(call.parts),
            "" if number else cell.label,
            _limits(job, call),
            "" if number else _rocm(cell),
            call.source,
        )


def _runs(call: TestCall) -> str:
    """The suite or the files, and the variables that the command gives them."""
    if call.kind is CallKind.FILES:
        words = [*call.files]
    else:
        words = [call.suite, *(["--nightly"] if call.nightly else [])]
        words += [f"({call.runner})"] if call.kind is CallKind.OTHER_RUNNER else []
    return " ".join([*words, *(f"{name}={value}" for name, value in call.env)])


def _limits(job: TreeJob, call: TestCall) -> str:
    whole = call.step_timeout_min if call.step_timeout_min is not None else job.timeout_min
    limits = [] if whole is None else [f"{whole:g} min"]
    limits += [] if call.timeout_per_file_s is None else [f"{call.timeout_per_file_s:g} s a file"]
    return ", ".join(limits)


def _rocm(cell: JobCell) -> str:
    if cell.container is None:
        return ""
    return cell.container.image or cell.container.rocm.value or "unknown"


def show_differences(
    console: Console,
    differences: Sequence[Difference],
    new: Sequence[TreeSuite],
    unrun: Sequence[str],
) -> None:
    """What our rows say otherwise, the suites that we lack, and those that no job of the checkout runs."""
    if differences:
        table = new_table("row", "column", "ours", "the tree's", "at")
        for row in differences:
            cells = (
                row.suite or "discovery.toml",
                row.column,
                _value(row.ours),
                _value(row.theirs),
                row.source,
            )
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    for suite in new:
        gpus = f"{suite.row.gpus} {suite.row.family}"
        console.print(
            Text(f"only the tree has {suite.row.name}: {gpus}, {suite.row.stage}, {suite.row.source}")
        )
    for name in unrun:
        console.print(Text(f"no job of the tree runs {name}"))
    console.print(
        Text(
            f"{len(differences)} values differ, {len(new)} suites only in the tree, {len(unrun)} that no job of it runs"
        )
    )


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def tree_data(tree: TreeFacts) -> dict[str, Any]:
    """The same for machines, with every cell."""
    data: dict[str, Any] = encode(tree)
    data["workflows"] = [
        {**workflow, "jobs": [job for job in workflow["jobs"] if job["amd"]]}
        for workflow in data["workflows"]
        if any(job["amd"] for job in workflow["jobs"])
    ]
    return data
