"""Showing what parity found: per suite in one line, the differences that are allowed with their reason, and the faults."""

from collections.abc import Mapping, Sequence

from ci.catalog.parity import ParityRules
from ci.github.parity.compare import Parity
from ci.github.parity.executors import Pair
from ci.report.console import Console, Text, new_table

__all__ = ["show_executors", "show_parity"]


def show_parity(console: Console, rules: ParityRules, found: Mapping[str, Parity]) -> None:
    """A table of suites for each workflow, then what may differ, then what may not."""
    for workflow, one in found.items():
        table = new_table(
            "event and suite",
            "jobs",
            "same plan",
            "differ",
            title=f"{workflow}: {len(one.jobs)} jobs compared",
        )
        faulty = {gap.job for gap in one.faults}
        suites: dict[str, list[str]] = {}
        for job in one.jobs:
            suites.setdefault(job.partition(" (")[0], []).append(job)
        for suite, jobs in suites.items():
            bad = sum(job in faulty for job in jobs)
            cells = suite, str(len(jobs)), str(len(jobs) - bad), str(bad)
            table.add_row(*(Text(cell, style="red" if bad else "") for cell in cells))
        console.print(table)
        _show_allowed(console, rules, one)
        if one.without_tests:
            names = ", ".join(one.without_tests)
            console.print(f"note: no test of this tree is registered for {names}: neither side runs them")
        for path in one.unused:
            console.print(f"note: nothing differs in {path}: the row of parity.toml is not needed here")


def show_executors(console: Console, pairs: Sequence[Pair]) -> None:
    """Which ways of running a suite are the same run, and in what the others differ."""
    table = new_table(
        "run with",
        "and with",
        "suites",
        "same digest",
        "apart",
        "fields that follow",
        "not allowed",
        title="executors",
    )
    by_names: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        by_names.setdefault((pair.left, pair.right), []).append(pair)
    for (left, right), group in by_names.items():
        faults = {one.path for pair in group for one in pair.faults}
        follow = {one.path for pair in group for one in pair.apart} - faults
        apart = ", ".join(dict.fromkeys(part for pair in group for part in pair.by))
        equal = sum(pair.equal for pair in group)
        cells = left, right, str(len(group)), str(equal), apart or "-", str(len(follow)), str(len(faults))
        table.add_row(*(Text(cell, style="red" if faults else "") for cell in cells))
    console.print(table)


def _show_allowed(console: Console, rules: ParityRules, one: Parity) -> None:
    counts: dict[str, int] = {}
    for gap in one.gaps:
        row = rules.allows(gap.path)
        if row is not None:
            counts[row.path] = counts.get(row.path, 0) + 1
    table = new_table("field", "times", "because", title="may differ")
    for row in rules.allowed:
        if row.path in counts:
            table.add_row(row.path, str(counts[row.path]), row.why)
    console.print(table)
