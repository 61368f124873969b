"""Showing AMD's coverage against CUDA: shares, what could be added, and what it would cost."""

from dataclasses import asdict
from typing import Any

from ci.plan.coverage.make import FIRST, WIDER, Backtest, Candidate, Coverage
from ci.plan.coverage.registered import Share
from ci.plan.coverage.score import START
from ci.report.console import Console, Rule, Text, new_table
from ci.report.text import duration

__all__ = ["backtest_data", "coverage_data", "show_backtest", "show_coverage"]

_REASONS = 3


def show_coverage(console: Console, found: Coverage, *, title: str, limit: int) -> None:
    """Shares by stage and area, the first candidates with their reasons, their lines, and the load that they add."""
    console.print(Rule(Text(f"{_words(found.total)} CUDA tests run on AMD too: {title}", style="bold")))
    for name, shares in (("stage", found.stages), ("area", found.areas)):
        table = new_table(name, "CUDA", "AMD too", "CUDA alone", "share")
        for group, share in sorted(shares.items(), key=lambda item: item[1].both - item[1].cuda):
            alone = share.cuda - share.both
            table.add_row(
                group, str(share.cuda), str(share.both), str(alone), f"{share.both / share.cuda:.0%}"
            )
        console.print(table)
    shown = found.candidates[:limit]
    table = new_table("score", "test", "why", title=f"CUDA alone, the {len(shown)} most likely to run on AMD")
    for row in shown:
        why = "; ".join(f"{reason.points:+} {reason.what}" for reason in row.score.reasons[:_REASONS])
        table.add_row(str(row.score.points), row.test.file, Text(why, style="dim"))
    console.print(table)
    _show_lines(console, found, shown)
    if len(found.candidates) > limit:
        console.print(f"and {len(found.candidates) - limit} more, less likely: --limit N or --json")
    for file in found.unread:
        console.print(Text(f"note: {file} cannot be read", style="yellow"))


def _show_lines(console: Console, found: Coverage, shown: tuple[Candidate, ...]) -> None:
    """What to write where for tests with more points than a test begins with, and what all of it adds to the suites."""
    title = "lines to add, after the CUDA registration in that line; import register_amd_ci beside it"
    console.print(Text(title, style="bold"))
    likely = tuple(row for row in shown if row.score.points > START)
    for row in likely:
        if row.line:
            console.print(Text(f"{row.test.file}:{row.after_line}"), Text(row.est_time_why, style="dim"))
            console.print(Text(f"    {row.line}"))
        else:
            why = "its AMD registration is disabled" if row.suite else row.suite_why
            console.print(f"{row.test.file}: no line: {why}")
    table = new_table("suite", "shards", "longest shard", "in all", title="all of them together")
    for suite, (before, after) in found.together(likely).items():
        table.add_row(
            suite,
            str(before.shards),
            f"{duration(before.longest_s)} → {duration(after.longest_s)}",
            f"{duration(before.total_s)} → {duration(after.total_s)}",
        )
    if table.row_count:
        console.print(table)


def show_backtest(console: Console, found: Backtest, *, later: str) -> None:
    """How good the list was, by what a later tree has."""
    console.print(
        f"{found.gap} tests ran for CUDA alone; {later} enables {len(found.added)} of them for AMD, at the same path"
    )
    console.print(
        f"precision of the first {FIRST}: {found.precision:.0%} ({found.in_first}); "
        f"recall in the first {WIDER}: {found.recall:.0%} ({found.in_wider} of {len(found.added)})"
    )
    if found.gap:
        console.print(f"a list in any order: precision {len(found.added) / found.gap:.0%}")


def coverage_data(found: Coverage) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "cuda": found.total.cuda,
        "both": found.total.both,
        "stages": {name: asdict(share) for name, share in found.stages.items()},
        "areas": {name: asdict(share) for name, share in found.areas.items()},
        "candidates": [
            {
                "file": row.test.file,
                "score": row.score.points,
                "reasons": [asdict(reason) for reason in row.score.reasons],
                "cuda": [asdict(item) for item in row.test.cuda],
                "suite": row.suite,
                "suite_why": row.suite_why,
                "est_time_s": row.est_time_s,
                "est_time_why": row.est_time_why,
                "before": asdict(row.before),
                "after": asdict(row.after),
                "line": row.line,
                "after_line": row.after_line,
            }
            for row in found.candidates
        ],
        "unread": list(found.unread),
    }


def backtest_data(found: Backtest) -> dict[str, Any]:
    """The same for machines."""
    return {**asdict(found), "precision": found.precision, "recall": found.recall}


def _words(share: Share) -> str:
    return f"{share.both} of {share.cuda} ({share.both / share.cuda:.1%})" if share.cuda else "0 of 0"
