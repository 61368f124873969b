"""Showing findings about a checkout: a summary by kind, the first of each, and SARIF for code scanning."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from ci.plan.outages.model import KINDS, Finding, FindingKind, Severity
from ci.report.console import Console, Text, new_table

__all__ = ["count_words", "finding_data", "sarif_log", "show_findings"]

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_TOOL: Final = "sglang-amd-ci check"


def show_findings(console: Console, findings: Sequence[Finding], *, title: str, every: bool) -> None:
    """A line for each kind with its count, then the first finding of each, or all of them."""
    counts = Counter(finding.kind for finding in findings)
    console.print(f"{title}: {count_words(findings)}")
    if not findings:
        return
    table = new_table("count", "severity", "kind", "what")
    for kind, count in counts.items():
        row = KINDS[kind]
        table.add_row(str(count), Text(row.severity, style=_STYLES[row.severity]), kind, row.words)
    console.print(table)
    for kind, count in counts.items():
        row = KINDS[kind]
        console.print(Text(f"{kind}: {row.help}", style="bold"), soft_wrap=True)
        shown = [finding for finding in findings if finding.kind is kind][: None if every else 1]
        for finding in shown:
            console.print(Text(f"  {finding}"), soft_wrap=True)
        if count > len(shown):
            console.print(Text(f"  and {count - len(shown)} more: --all", style="dim"))


def count_words(findings: Sequence[Finding]) -> str:
    """`3 errors, 1 warning, 2 notes`; `nothing found` for none."""
    counts = Counter(finding.severity for finding in findings)
    words = [
        f"{counts[each]} {each}" + ("" if counts[each] == 1 else "s") for each in Severity if counts[each]
    ]
    return ", ".join(words) or "nothing found"


def finding_data(findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything, for machines."""
    counts = Counter(finding.kind for finding in findings)
    return {
        "findings": [{**asdict(finding), "severity": finding.severity} for finding in findings],
        "kinds": [
            {
                "id": kind,
                "what": KINDS[kind].words,
                "severity": KINDS[kind].severity,
                "help": KINDS[kind].help,
                "count": count,
            }
            for kind, count in counts.items()
        ],
    }


def sarif_log(findings: Sequence[Finding]) -> dict[str, Any]:
    """A SARIF 2.1.0 log; paths are relative to the checkout."""
    kinds = list(KINDS)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": _TOOL, "rules": [_rule(kind) for kind in kinds]}},
                "originalUriBaseIds": {
                    "SRCROOT": {"description": {"text": "the top folder of the checkout"}}
                },
                "results": [_result(finding, kinds.index(finding.kind)) for finding in findings],
            }
        ],
    }


def _rule(kind: FindingKind) -> dict[str, Any]:
    row = KINDS[kind]
    return {
        "id": kind,
        "shortDescription": {"text": row.words},
        "help": {"text": row.help},
        "defaultConfiguration": {"level": row.severity},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    text = finding.what + (f" ({finding.hint})" if finding.hint else "")
    # without the line, so that a finding which moves within its file is the same one
    same = hashlib.sha256(f"{finding.kind}\0{finding.file}\0{finding.what}".encode()).hexdigest()
    return {
        "ruleId": finding.kind,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": finding.file, "uriBaseId": "SRCROOT"},
                    "region": {"startLine": max(finding.line, 1)},
                }
            }
        ],
        "partialFingerprints": {"sglangAmdCi/v1": same},
    }
