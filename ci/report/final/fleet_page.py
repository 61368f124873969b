"""A simulated fleet as one HTML document that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.scenario import Settings
from ci.plan.fleet.search import Found, Goal
from ci.report.fleet import found_words, time_words, warnings
from ci.report.fleet_tables import fleet_tables, found_table
from ci.report.page.plots import Plot, curves, hours
from ci.report.page.template import page_environment

__all__ = ["FleetPage", "fleet_page"]

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
    tables = [*fleet_tables(shown.results), *([found_table(shown.found)] if shown.found is not None else ())]
    main = shown.first.main
    return (
        page_environment()
        .get_template("fleet.html.j2")
        .render(
            summary=f"{main.id} green after {time_words(main.green_p50_s)}, nine of ten after {time_words(main.green_p90_s)}",
            days=f"{shown.settings.days:g} days after {shown.settings.warm_up_days:g} of warm-up",
            cost=shown.cost,
            warnings=warnings(shown.first),
            sections=[*((table.id, table.title) for table in tables), ("plots", "Plots")],
            tables=tables,
            plots=_plots(shown),
            notes=_notes(shown),
        )
    )


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
