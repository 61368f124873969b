"""A simulated fleet as one HTML document that needs nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.scenario import Settings
from ci.plan.fleet.search import Found, Goal
from ci.report import page
from ci.report.fleet import VARIANT_COLUMNS, found_words, time_words, variant_cells, warnings
from ci.report.page.plots import Plot, curves, hours
from ci.report.text import one_line, strip_ansi

__all__ = ["FleetPage", "fleet_page"]

_FILES = Path(page.__file__).parent
# where the curves of the time to green end at the latest
_MINUTES = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage:
    """What the page shows: fleets by name, the first in detail."""

    results: Mapping[str, FleetResult]
    notes: tuple[str, ...]
    found: Found | None
    goal: Goal | None
    cost: str
    settings: Settings

    @property
    def first(self) -> FleetResult:
        """The fleet that is shown in detail."""
        return next(iter(self.results.values()))


def fleet_page(shown: FleetPage) -> str:
    """The page; it loads nothing and runs no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FILES / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = lambda text: one_line(strip_ansi(text))
    tables = list(_tables(shown))
    main = shown.first.main
    return environment.get_template("fleet.html.j2").render(
        style=(_FILES / "page.css").read_text(encoding="utf-8"),
        summary=f"{main.id} green after {time_words(main.green_p50_s)}, nine of ten after {time_words(main.green_p90_s)}",
        days=f"{shown.settings.days:g} days after {shown.settings.warm_up_days:g} of warm-up",
        cost=shown.cost,
        warnings=warnings(shown.first),
        sections=[*((row[0], row[1]) for row in tables), ("plots", "Plots")],
        tables=tables,
        plots=_plots(shown),
        notes=_notes(shown),
    )


def _tables(shown: FleetPage) -> Iterator[tuple[str, str, tuple[str, ...], Sequence[tuple[str, ...]]]]:
    """The id, title, head and rows of each table."""
    first = shown.first
    events = [
        (
            row.id,
            *map(str, (row.events, row.idle, row.green, row.red, row.unlucky, row.unfinished)),
            *map(time_words, (row.green_p50_s, row.green_p90_s, row.red_p50_s, row.red_p90_s)),
        )
        for row in first.traffic
    ]
    numbers = ("number", "no job", "green", "red", "unlucky", "unfinished")
    yield "events", "Events", ("events", *numbers, "green p50", "green p90", "red p50", "red p90"), events
    pools = [
        (
            pool.id,
            str(pool.gpus),
            str(pool.jobs),
            *map(time_words, (pool.wait_mean_s, pool.wait_p50_s, pool.wait_p90_s)),
            *(f"{share:.0%}" for share in (pool.utilisation, pool.offered)),
            *(f"{gpu_h:.0f}" for gpu_h in (pool.gpu_h, pool.set_up_gpu_h, pool.lost_gpu_h)),
        )
        for pool in first.pools
    ]
    of_pool = ("GPUs", "jobs", "wait mean", "wait p50", "wait p90", "busy", "offered")
    yield "pools", "Pools", ("pool", *of_pool, "GPU h", "in set-up", "lost"), pools
    if len(shown.results) > 1:
        rows = [(name, *variant_cells(result)) for name, result in shown.results.items()]
        yield "fleets", "Fleets side by side", ("fleet", *VARIANT_COLUMNS), rows
    if shown.found is not None and shown.goal is not None:
        steps = [
            (step.change, time_words(step.green_p90_s), f"{step.gpu_h_a_day:.0f}")
            for step in shown.found.steps
        ]
        yield "search", "Shards and routing", ("change", "green p90", "GPU h/day"), steps


def _notes(shown: FleetPage) -> tuple[str, ...]:
    if shown.found is None or shown.goal is None:
        return shown.notes
    return (found_words(shown.found, shown.goal), *shown.notes)


def _plots(shown: FleetPage) -> list[Plot]:
    first = shown.first
    green = {
        name: (result.main.green_s, result.main.green + result.main.unfinished + result.main.unlucky)
        for name, result in shown.results.items()
    }
    longest_s = max((times[-1] for times, _ in green.values() if times), default=60.0)
    return [
        curves("Time to green", green, minutes=min(_MINUTES, max(1.0, longest_s / 60))),
        hours(
            "GPUs that are busy",
            "GPUs",
            {pool.id: [hour.busy_gpus for hour in pool.hours] for pool in first.pools},
        ),
        hours(
            "Jobs that wait",
            "jobs",
            {pool.id: [hour.waiting_jobs for hour in pool.hours] for pool in first.pools},
        ),
    ]
