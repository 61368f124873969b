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
    """What the runner knows, then every job of AMD's by workflow, then what could not be read."""
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
    for workflow in tree.workflows:
        jobs = [job for job in workflow.jobs if job.amd]
        if jobs:
            console.print(Text(f"{workflow.file.rpartition('/')[2]} ({workflow.name})", style="bold"))
        for job in jobs:
            for line in _lines(job):
                console.print(Text(line), soft_wrap=True)
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


def _lines(job: TreeJob) -> Iterable[str]:
    """A line for the job by its first cell, and one below it for each of its calls."""
    if not job.started:
        yield f"{job.line:6} {job.id}: calls {job.uses.rpartition('/')[2]}"
        return
    cell, count = job.started[0], "?" if job.size is None else job.size
    limit = "" if job.timeout_min is None else f"{job.timeout_min:g} min"
    words = [job.id, f"{count} jobs" if count != 1 else "", cell.label, _rocm(cell), limit]
    yield f"{job.line:6} {', '.join(filter(None, words))}"
    if not cell.calls:
        yield f"{'':9}no tests"
    for call in cell.calls:
        yield f"{call.line:8} {_runs(call)}"


def _runs(call: TestCall) -> str:
    """The suite or the files, its limits, and the variables that the command gives them."""
    if call.kind is CallKind.FILES:
        words = [" ".join(call.files)]
    else:
        words = [call.suite + (" --nightly" if call.nightly else "")]
        words += [f"by {call.runner}"] if call.kind is CallKind.OTHER_RUNNER else []
    words += [] if (call.parts or 1) == 1 else [f"{call.parts} parts"]
    words += [] if call.step_timeout_min is None else [f"{call.step_timeout_min:g} min"]
    words += [] if call.timeout_per_file_s is None else [f"{call.timeout_per_file_s:g} s a file"]
    env = " ".join(f"{name}={value}" for name, value in call.env if not name.startswith("GITHUB_"))
    return ", ".join([*words, *([env] if env else [])])


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
            cells = (row.suite or "discovery.toml", row.column, *_sides(row), row.source)
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


def _sides(row: Difference) -> tuple[str, str]:
    """Both values; of two lists what each has alone."""
    ours, theirs = row.ours, row.theirs
    if isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = _without(ours, theirs), _without(theirs, ours)
    return str(ours), str(theirs)


def _without(mine: Sequence[str], others: Sequence[str]) -> str:
    alone = [each for each in mine if each not in others]
    return (
        "\n".join(alone)
        if len(alone) == len(mine)
        else "\n".join([*alone, f"{len(mine) - len(alone)} the same"])
    )


def tree_data(tree: TreeFacts) -> dict[str, Any]:
    """The same for machines, with every cell."""
    data: dict[str, Any] = encode(tree)
    data["workflows"] = [
        {**workflow, "jobs": [job for job in workflow["jobs"] if job["amd"]]}
        for workflow in data["workflows"]
        if any(job["amd"] for job in workflow["jobs"])
    ]
    return data
