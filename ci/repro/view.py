"""Showing what `./inv repro` understood and found."""

from collections.abc import Mapping
from typing import Any

from ci.report.console import Console, Text, new_table, print_json
from ci.report.text import one_line
from ci.repro.rerun import Bisected
from ci.repro.source import Understood

__all__ = ["show_report", "show_result", "show_understood"]


def show_understood(console: Console, found: Understood, lines: Mapping[str, str]) -> None:
    """What was understood with its source, what is missing, and the lines that repeat it."""
    table = new_table("what", "value", "source", title=f"understood: {found.kind}")
    for fact in found.facts:
        table.add_row(fact.what, one_line(fact.value), Text(one_line(fact.source), style="dim"))
    console.print(table)
    if found.problem:
        console.print(Text(one_line(found.problem), style="bold yellow"), soft_wrap=True)
    if found.missing:
        console.print(Text(f"missing: {', '.join(found.missing)}", style="yellow"), soft_wrap=True)
    for text in found.dropped:
        console.print(Text(f"not in the line: {one_line(text)}", style="yellow"), soft_wrap=True)
    for name, line in lines.items():
        # a line that wraps cannot be copied
        console.print(Text.assemble((f"{name}: ", "dim"), (one_line(line), "bold")), soft_wrap=True)


def show_result(console: Console, found: Bisected) -> None:
    """How a bisection ended."""
    if found.first_bad:
        console.print(
            Text(f"first bad commit: {found.first_bad} {one_line(found.subject)}", style="bold red"),
            soft_wrap=True,
        )
        return
    console.print(
        Text("only commits that cannot be tested are left; the first bad one is among:", style="yellow")
    )
    for commit in found.between:
        console.print(f"  {commit}")


def show_report(report: Mapping[str, Any]) -> None:
    """Everything, for machines."""
    print_json(report)
