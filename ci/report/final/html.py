"""report.html: a run in one file that needs nothing else, with or without scripts, in light or dark."""

import base64
import hashlib
import html
from collections import Counter
from functools import cache

from markupsafe import Markup

from ci.plan.model import Plan
from ci.record.model import RunRecord
from ci.report import model
from ci.report.log_tail import LogTails
from ci.report.page.cards import Card, cards, groups
from ci.report.page.gauges import gauges
from ci.report.page.plan_rows import plan_tables
from ci.report.page.template import PAGE_FILES, Template, page_environment
from ci.report.page.timeline import timeline
from ci.report.repeat import repeat
from ci.report.shards import balance_words, shard_rows, split_words, suite_times
from ci.report.text import case_name, duration, never_run_words, strip_ansi, unverified_words, visible
from ci.report.workers import worker_rows

__all__ = ["html_report"]


@cache
def _template() -> Template:
    environment = page_environment()
    environment.filters |= {
        "lines": lambda text: visible(strip_ansi(text)),
        # of lines that are visible already; quotes are themselves outside of attributes
        "escaped": lambda text: Markup(html.escape(text, quote=False)),  # noqa: S704
        "duration": duration,
        "case_name": case_name,
    }
    script = (PAGE_FILES / "page.js").read_text(encoding="utf-8")
    # what stands between the tags, as the template writes it: no other script of the page may run
    digest = hashlib.sha256(f"\n{script}\n".encode()).digest()
    environment.globals |= {
        "model": model,
        "script": script,
        "script_hash": base64.b64encode(digest).decode(),
    }
    return environment.get_template("report.html.j2")


def html_report(
    record: RunRecord, *, tails: LogTails, plan: Plan | None = None, plan_missing: str = ""
) -> str:
    """The report as one HTML document; `plan_missing` says why there is no plan to show."""
    found = cards(record, tails)
    lost = model.lost_lines(record)
    anchors = {id(card.test): card.anchor for card in found}
    return _template().render(
        record=record,
        result=model.result(record),
        facts=model.facts(record),
        baseline=model.baseline_words(record),
        rehearsal=model.rehearsal_words(record),
        unverified=unverified_words(record.start.unverified),
        never_run=never_run_words(record.start.never_run),
        command=repeat(record),
        outside=bool(record.failures or record.problems or record.leftovers or lost),
        lost=lost,
        nodes=[(part, row) for part, run in model.runs_of(record) for row in worker_rows(run)],
        runs=shard_rows(record),
        balance=[(times, balance_words(times), split_words(times)) for times in suite_times(record.parts)],
        groups=groups(found),
        verdicts=_verdicts(found),
        anchor=lambda test: anchors[id(test)],
        symptoms=model.shared_symptoms(record),
        timeline=timeline(record, found),
        gauges=gauges(record),
        phases=model.phase_rows(record),
        slowest=model.slowest(record),
        left_out=model.left_out(record),
        expected_failures=model.expected_failures(record),
        quarantined=model.quarantined(record),
        plan=plan_tables(plan) if plan is not None else (),
        plan_notes=(*plan.notes, *plan.partial) if plan is not None else (),
        plan_missing=plan_missing,
        tails=tails,
    )


def _verdicts(found: tuple[Card, ...]) -> dict[str, int]:
    """How many tests have each verdict, the most frequent first; those with none are left out."""
    return dict(Counter(card.verdict for card in found if card.verdict != "-").most_common())
