"""The row of quarantine.toml for a test that failed, ready to be pasted."""

import json
from collections.abc import Iterator
from datetime import date, timedelta

from ci.catalog.verdicts import Gates
from ci.record.model import RunRecord, TestRecord
from ci.report.text import one_line, strip_ansi

__all__ = ["quarantine_rows"]

# long enough for a fix, short enough to be looked at again
_DAYS = 14
# more failed cases than this are one row for the file
_MOST_CASES = 3


def quarantine_rows(record: RunRecord, test: TestRecord) -> str:
    """TOML, a row for each failed case or one for the file; empty where no row would excuse the test.

    What only a person knows is left to fill in: the reason's words and the issue.
    """
    last = test.last
    if last is None or not last.end.gates or last.harmless or not record.start.hardware_class:
        return ""
    gates = last.end.verdict.row.gates
    if gates is Gates.ALWAYS:
        return ""
    nodes = list(dict.fromkeys(case.case.partition("[")[0] for case in last.failed_cases))
    if gates is Gates.UNLESS_FILE_QUARANTINED or not 0 < len(nodes) <= _MOST_CASES:
        nodes = [test.id]
    reason = last.end.symptom or next(iter(last.end.evidence), "") or last.end.verdict.row.words
    return "\n".join("\n".join(_row(record, node, reason)) for node in nodes)


def _row(record: RunRecord, node: str, reason: str) -> Iterator[str]:
    since = _day(record.start.time)
    yield "[[quarantine]]"
    yield f"test = {_toml(node)}"
    yield f"hardware = [{', '.join(_toml(name) for name in record.start.hardware_class.split(', '))}]"
    yield f"reason = {_toml(reason)}"
    yield 'issue = "https://github.com/sgl-project/sglang/issues/0"  # the issue that will remove this row'
    yield f"since = {since.isoformat()}"
    yield f"expires = {(since + timedelta(days=_DAYS)).isoformat()}"
    yield ""


def _day(time: str) -> date:
    try:
        return date.fromisoformat(time[:10])
    except ValueError:  # the record has no start
        return date(1970, 1, 1)


def _toml(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(one_line(strip_ansi(text)), ensure_ascii=False)
