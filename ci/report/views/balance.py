"""How evenly suites are split into shards, in the terminal and for machines."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ci.plan.sharding import SuiteShards
from ci.report.console import Console, Text, new_table
from ci.report.text import duration, one_line

__all__ = ["advice", "balance_data", "show_balance"]


def show_balance(console: Console, suites: Sequence[SuiteShards], *, title: str, every: bool = False) -> None:
    """One row for each suite that can be split, then what would make its longest shard shorter or its shards fewer.

    Args:
        console: where to.
        suites: with a deadline all of them, or none.
        title: the tree.
        every: suites of one shard and one file too.
    """
    shown = [row for row in suites if every or row.files > 1 or row.suite.shards > 1]
    columns = ["files", "tests", "shards", "longest shard", "lower bound", "gap", "split evenly"]
    deadlines = any(row.deadline is not None for row in suites)
    table = new_table(title=one_line(title))
    table.add_column("suite", overflow="fold")
    for name in [*columns, *(["in time"] if deadlines else [])]:
        table.add_column(name, justify="right")
    for row in shown:
        table.add_row(*_cells(row), *([_in_time(row)] if deadlines else []))
    console.print(table)
    if len(shown) < len(suites):
        console.print(
            Text(f"{len(suites) - len(shown)} suites of one shard and one file are not shown", style="dim")
        )
    if not all(row.even.proven for row in shown):
        console.print(Text("* not proven to be the shortest", style="dim"))
    if deadlines:
        console.print(Text("in time: the fewest shards that meet the deadline", style="dim"))
    for row in shown:
        for line in advice(row):
            console.print(Text(f"{row.suite.name}: {one_line(line)}"))


def _cells(row: SuiteShards) -> tuple[str, ...]:
    return (
        row.suite.name,
        str(row.files),
        duration(row.total_s),
        str(row.suite.shards),
        duration(row.now.makespan_s),
        duration(row.now.lower_bound_s),
        f"{row.now.gap:.1%}",
        duration(row.even.makespan_s) + ("" if row.even.proven else " *"),
    )


def _in_time(row: SuiteShards) -> str:
    return "" if row.deadline is None else str(row.deadline.shards or "none")


def advice(row: SuiteShards) -> Iterator[str]:
    """What blocks the split of a suite, and what could be instead, a sentence each; nothing where it is as good as it gets."""
    count, longest = row.suite.shards, duration(row.now.makespan_s)
    if row.now.blocker and count > 1:
        yield f"blocked by {row.now.blocker}: alone it takes {duration(row.now.lower_bound_s)}"
    if row.now.enough < count:
        yield f"drop to {_shards(row.now.enough)}: same longest shard, {longest}"
    if row.enough_even < row.now.enough:
        yield f'with split = "even" {_shards(row.enough_even)} have no longer one'
    if row.even.makespan_s < row.now.makespan_s:
        saved = row.now.makespan_s - row.even.makespan_s
        yield f'split = "even" saves {duration(saved)} of the longest shard'
    if (split := row.file_split) is not None:
        whole = split.parts == split.cases
        how = f"its {split.cases} cases apart" if whole else f"in {split.parts} parts"
        yield f"split {split.file} by case saves {duration(split.saved_s)}: {how}, taken to be equally long"
    if row.deadline is not None and row.deadline.too_long:
        yield f"cannot meet the deadline: {', '.join(row.deadline.too_long)} take longer, each by itself"


def _shards(count: int) -> str:
    return f"{count} shard" + ("s" if count > 1 else "")


def balance_data(suites: Sequence[SuiteShards]) -> list[dict[str, Any]]:
    """The same for `--json`."""
    return [
        {
            "suite": row.suite.name,
            "stage": row.suite.stage,
            "split": row.suite.split,
            "shards": row.suite.shards,
            "files": row.files,
            "tests_s": row.total_s,
            "longest_shard_s": row.now.makespan_s,
            "lower_bound_s": row.now.lower_bound_s,
            "gap": row.now.gap,
            "blocker": row.now.blocker,
            "proven": row.now.proven,
            "enough_shards": row.now.enough,
            "even": {
                "longest_shard_s": row.even.makespan_s,
                "proven": row.even.proven,
                "enough_shards": row.enough_even,
            },
            "file_split": None if row.file_split is None else asdict(row.file_split),
            "deadline": None if row.deadline is None else asdict(row.deadline),
        }
        for row in suites
    ]
