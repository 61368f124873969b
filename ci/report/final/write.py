"""All files of a report into the run folder: each whole or not at all, and one that fails stops no other."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ci.catalog.limits import ReportLimits
from ci.errors import CiError
from ci.plan.model import Plan
from ci.record.event_log import read_events
from ci.record.model import RunRecord
from ci.report.console import Console, Text
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.svg import picture
from ci.report.log_tail import LogTails
from ci.report.text import one_line

__all__ = ["Failed", "Written", "page_of", "show_written", "write_reports"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that now holds its report."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A file that could not be written; what stood there before still does."""

    path: Path
    because: str


def write_reports(
    record: RunRecord, run_dir: Path, *, environ: Mapping[str, str], limits: ReportLimits
) -> list[Written | Failed]:
    """Write junit.xml, summary.md, report.html and terminal.svg, and add the summary to `GITHUB_STEP_SUMMARY`."""
    tails = LogTails(run_dir, lines=limits.tail_lines)
    reports: dict[str, Callable[[], bytes]] = {
        "junit.xml": lambda: junit_xml(record, tails=tails),
        "summary.md": lambda: _utf8(summary_md(record, tails=tails, limits=limits)),
        "report.html": lambda: _utf8(_page(record, run_dir, tails)),
        "terminal.svg": lambda: _utf8(_picture(record, run_dir, tails, limits)),
    }
    results = [_attempt(run_dir / name, render, _replace) for name, render in reports.items()]
    if step_summary := environ.get("GITHUB_STEP_SUMMARY"):
        path = Path(step_summary)
        results.append(_attempt(path, lambda: _step_summary(record, path, tails, limits), _append))
    return results


def page_of(written: Sequence[Written | Failed]) -> Path | None:
    """The page to look at: report.html, or what there is instead of it."""
    found = {file.path.name: file.path for file in written if isinstance(file, Written)}
    return found.get("report.html") or found.get("summary.md")


def show_written(
    console: Console, run_dir: Path, written: Sequence[Written | Failed], *, verbose: bool
) -> None:
    """The files that could not be written; `verbose`: before them those of the run folder, one a line."""
    beside = [
        path for path in (run_dir / "plan.json", run_dir / "events.jsonl", run_dir / "logs") if path.exists()
    ]
    made = (*beside, *(file.path for file in written if isinstance(file, Written)))
    for path in made if verbose else ():
        # a path that wraps cannot be copied
        console.print(Text(one_line(str(path)), style="dim"), soft_wrap=True)
    for file in written:
        if isinstance(file, Failed):
            words = one_line(f"{file.path} was not written: {file.because}")
            console.print(Text(words, style="bold red"), soft_wrap=True)


def _page(record: RunRecord, run_dir: Path, tails: LogTails) -> str:
    """The page, with the plan that lies beside it; a page without one says why. Merged runs have a plan each, in their folders."""
    if record.parts:
        return html_report(record, tails=tails)
    path = run_dir / "plan.json"
    try:
        plan = Plan.from_json(json.loads(path.read_bytes()), where=path.name)
    except (OSError, ValueError) as error:
        return html_report(record, tails=tails, plan_missing=f"cannot read {path.name}: {error}")
    except CiError as error:
        return html_report(record, tails=tails, plan_missing=error.what)
    return html_report(record, tails=tails, plan=plan)


def _picture(record: RunRecord, run_dir: Path, tails: LogTails, limits: ReportLimits) -> str:
    """The picture, with what the record beside it lets scroll by; merged runs have a record each."""
    events = run_dir / "events.jsonl"
    shown = read_events(events) if events.is_file() else ()
    return picture(record, shown, tails=tails, limits=limits)


def _step_summary(record: RunRecord, path: Path, tails: LogTails, limits: ReportLimits) -> bytes:
    """The summary in the room that earlier sessions of the same step left: GitHub's limit is for all of them."""
    taken = path.stat().st_size if path.exists() else 0
    room = replace(limits, summary_bytes=limits.summary_bytes - taken)
    return _utf8(summary_md(record, tails=tails, limits=room))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


def _attempt(path: Path, render: Callable[[], bytes], put: Callable[[Path, bytes], None]) -> Written | Failed:
    try:
        data = render()
        put(path, data)
    except OSError as error:
        return Failed(path=path, because=error.strerror or str(error))
    except Exception as error:  # noqa: BLE001  # a fault in one report must not cost a run of hours its others
        return Failed(path=path, because=f"cannot create the report: {type(error).__name__}: {error}")
    return Written(path=path, size_bytes=len(data))


def _replace(path: Path, data: bytes) -> None:
    """Put the bytes in place of what is there: a reader sees the old file or the new one, never half of one."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def _append(path: Path, data: bytes) -> None:
    """Add to what earlier steps of the job wrote, or leave it as it was."""
    # unbuffered: what a buffer still holds would be written after the truncation
    with path.open("ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise
