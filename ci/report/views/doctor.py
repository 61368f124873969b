"""Showing what operators' verbs found or did."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.execute.process_sweep import Found
from ci.facts.doctor import Finding
from ci.report.console import Text, new_table, open_console

__all__ = ["show_findings", "show_pruned", "show_swept"]

_MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("unchecked", "yellow")}


def show_findings(environ: Mapping[str, str], findings: Sequence[Finding]) -> None:
    """One line per thing that was looked at."""
    table = new_table("what", "", "found")
    for finding in findings:
        word, style = _MARKS[finding.ok]
        table.add_row(finding.name, Text(word, style=style), finding.text)
    open_console(environ).print(table)


def show_swept(environ: Mapping[str, str], swept: Sequence[Found]) -> None:
    """What was ended."""
    console = open_console(environ)
    for process in swept:
        console.print(f"ended {process.pid}: {process.command}")
    console.print(f"{len(swept)} processes of killed runs were found and ended")


def show_pruned(environ: Mapping[str, str], removed: Sequence[Path], *, dry: bool) -> None:
    """What was removed."""
    console = open_console(environ)
    for path in removed:
        console.print(str(path))
    console.print(f"{len(removed)} run folders {'would be' if dry else 'were'} removed")
