"""What all reports say about the runs of a merged record: one row each, and how even their shards were."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ci.catalog.verdicts import Status
from ci.record.fold import exit_code
from ci.record.merge import Merged
from ci.record.model import Part, RunRecord
from ci.record.shard_times import ShardTimes, SuiteTimes, suite_times
from ci.report import model
from ci.report.repeat import repeat
from ci.report.text import duration

__all__ = ["ShardRow", "balance_words", "merged_data", "shard_rows", "split_words", "suite_times"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """One run: how it ended, its tests by status, estimated and actual seconds of those that ran, and the whole run's.

    `command` repeats what failed in it; empty when nothing did. `page` is the address of its job, or empty.
    """

    name: str
    result: model.Result
    icon: str
    counts: Mapping[str, int]
    est_s: float
    took_s: float
    run_s: float
    command: str
    page: str

    @property
    def tests(self) -> str:
        """`12 passed, 1 failed`."""
        return ", ".join(f"{count} {words}" for words, count in self.counts.items()) or "no tests"


def shard_rows(record: RunRecord) -> tuple[ShardRow, ...]:
    """The runs of a merged record, those that failed first; none for the record of one run."""
    rows = [_row(part) for part in record.parts]
    return tuple(sorted(rows, key=lambda row: row.result.ok))


def _row(part: Part) -> ShardRow:
    result = model.result(part.record)
    ran = [test for test in part.record.tests if test.attempts]
    return ShardRow(
        name=part.name,
        result=result,
        icon=(Status.PASSED if result.ok else Status.FAILED).row.icon,
        counts=model.counts(part.record),
        est_s=sum(test.est_s for test in ran),
        took_s=sum(test.duration_s for test in ran),
        run_s=part.run_s,
        command="" if exit_code(part.record) == 0 else repeat(part.record),
        page=part.page,
    )


def balance_words(times: SuiteTimes) -> str:
    """How even the shards of a suite were, in a sentence."""
    if len(times.shards) < 2:
        return f"{times.suite}: only shard {times.shards[0].shard} was found"
    longest, shortest = (pick(times.shards, key=_took_s) for pick in (max, min))
    words = (
        f"{times.suite}: longest shard {longest.shard} with {duration(longest.took_s)} of tests "
        f"(estimated {duration(longest.est_s)}), shortest {shortest.shard} with {duration(shortest.took_s)} "
        f"(estimated {duration(shortest.est_s)}), spread {duration(times.spread_s)}"
    )
    if times.missing:
        words += f"; without {', '.join(map(str, times.missing))}"
    return words


def split_words(times: SuiteTimes) -> str:
    """What a better split would have saved; empty where there is nothing to split."""
    if len(times.shards) < 2:
        return ""
    split = (
        f"the same tests split into {len(times.shards)} shards longest first, by what they took here "
        "and not by their estimates,"
    )
    if not times.saved_s:
        return f"{split} would have had no shorter longest shard"
    share = 100 * times.saved_s / times.longest_s
    words = (
        f"{split} would have had a longest shard of {duration(times.best_s)}: "
        f"{duration(times.saved_s)} ({share:.0f} %) less"
    )
    return words + (f"; {times.blocker} alone takes that long" if times.blocker else "")


def _took_s(shard: ShardTimes) -> float:
    return shard.took_s


def merged_data(merged: Merged) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "code": merged.code,
        "result": asdict(model.result(merged.record)),
        "tests": model.counts(merged.record),
        "runs": [asdict(row) for row in shard_rows(merged.record)],
        "balance": [
            {
                "suite": times.suite,
                "shards": [{**asdict(shard), "shard": str(shard.shard)} for shard in times.shards],
                "missing": [str(shard) for shard in times.missing],
                "longest_s": times.longest_s,
                "spread_s": times.spread_s,
                "best_s": times.best_s,
                "saved_s": times.saved_s,
                "blocker": times.blocker,
            }
            for times in suite_times(merged.record.parts)
        ],
        "problems": [asdict(each.problem) for each in merged.unusable],
        "notes": list(merged.notes),
    }
