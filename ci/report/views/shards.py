"""The runs of a merged record in the terminal, and how even their shards were."""

from ci.record.model import RunRecord
from ci.report.console import Console, Text, new_table
from ci.report.shards import balance_words, shard_rows, split_words, suite_times
from ci.report.text import duration, one_line

__all__ = ["show_shards"]


def show_shards(console: Console, record: RunRecord) -> None:
    """One row for each run, then a paragraph for each suite of several shards."""
    table = new_table(title="Runs")
    table.add_column("run", overflow="fold")
    table.add_column("result", overflow="fold")
    table.add_column("tests", overflow="fold")
    for title in ("estimate", "tests took", "run took"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in shard_rows(record):
        style = "green" if row.result.ok else "bold red"
        times = (duration(row.est_s), duration(row.took_s), duration(row.run_s))
        table.add_row(one_line(row.name), Text(row.result.words, style=style), row.tests, *times)
    if record.parts:
        console.print(table)
    for times_of in suite_times(record.parts):
        console.print(Text(one_line(balance_words(times_of))))
        if words := split_words(times_of):
            console.print(Text(f"  {one_line(words)}", style="dim"))
    for note in record.notes:
        console.print(Text(f"note: {one_line(note)}", style="yellow"))
