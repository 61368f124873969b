"""Showing how our rows fit an SGLang."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from ci.plan.contract.arguments import ACCEPTED
from ci.plan.contract.judge import Contract
from ci.plan.contract.variables import VariableRow
from ci.report.console import Console, Rule, Text, new_table

__all__ = ["contract_data", "show_contract"]


def show_contract(console: Console, found: Contract) -> None:
    """Variables, arguments that are not simply accepted, notes, and last what does not fit."""
    sglang = found.sglang
    console.print(Rule(Text(f"{sglang.title}: {_version(found)}", style="bold")))
    console.print(Text(f"variables: {sglang.environ_source}; {sglang.files_scanned} files scanned"))
    console.print(Text(f"arguments: {len(sglang.parser.options)}, {sglang.parser.source}"))
    table = new_table("variable", "value", "set", "status", "type", "default", "read at")
    for row in found.variables:
        cells = (row.name, _value(row), row.env_set, row.status, row.type, row.default, _readers(row))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    arguments = new_table("other arguments", "status", "of")
    for each in found.arguments:
        if each.status != ACCEPTED:
            arguments.add_row(Text(" ".join(each.args)), Text(each.status), Text(each.where))
    if arguments.row_count:
        console.print(arguments)
    for note in found.notes:
        console.print(Text(f"note: {note}"))
    for problem in found.problems:
        console.print(Text(f"error: {problem}"))
    for problem in found.findings:
        console.print(Text(f"of the tree: {problem}"))
    console.print(Text(_summary(found)))


def contract_data(found: Contract) -> dict[str, Any]:
    """The same for machines."""
    sglang = found.sglang
    return {
        "sglang": {
            "title": sglang.title,
            "version": sglang.version,
            "version_source": sglang.version_source,
            "release": str(sglang.release) if sglang.release is not None else None,
            "environ": sglang.environ_source,
            "parser": sglang.parser.source,
            "options": len(sglang.parser.options),
            "files_scanned": sglang.files_scanned,
        },
        "variables": [asdict(row) for row in found.variables],
        "arguments": [asdict(row) for row in found.arguments],
        "problems": [asdict(problem) for problem in found.problems],
        "findings": [asdict(problem) for problem in found.findings],
        "notes": list(found.notes),
    }


def _version(found: Contract) -> str:
    sglang = found.sglang
    if sglang.release is not None:
        return f"release {sglang.release} ({sglang.version_source})"
    return f"at no release: {sglang.version or 'version unknown'} ({sglang.version_source})"


def _value(row: VariableRow) -> str:
    return f"{row.value} ({row.becomes})" if row.becomes and row.becomes != repr(row.value) else row.value


def _readers(row: VariableRow) -> str:
    """The first place, and how many more there are."""
    places = [reader.place for reader in row.readers]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return places[0] + more if places else "-"


def _summary(found: Contract) -> str:
    variables = Counter(str(row.status) for row in found.variables)
    arguments = Counter(row.status for row in found.arguments)
    counts = ", ".join(f"{count} {status}" for status, count in variables.items())
    others = ", ".join(f"{count} {status}" for status, count in arguments.items())
    return (
        f"{len(found.variables)} variables: {counts}; {arguments.total()} lists of arguments: {others}; "
        f"errors: {len(found.problems)}, findings about the tree: {len(found.findings)}, notes: {len(found.notes)}"
    )
