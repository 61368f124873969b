"""What the tests of a plan ask of the server, and what this engine on this hardware answers."""

from collections.abc import Iterable, Mapping

from ci.catalog.capabilities import Capability
from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.catalog.versions import Version, newest, span_of
from ci.errors import Problem
from ci.plan.model import CapabilityWork

__all__ = ["asked_for", "capabilities_of", "left_out_notes", "rows_for", "unversioned_notes"]


def asked_for(tests: Discovery, files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Capability id to the test files that ask for it, both in their order."""
    found: dict[str, list[str]] = {}
    for file in files:
        if file in tests.requirements:
            for capability in tests.requirements[file].asks:
                found.setdefault(capability, []).append(file)
    return {capability: tuple(names) for capability, names in found.items()}


def capabilities_of(
    catalog: Catalog,
    asked: Mapping[str, tuple[str, ...]],
    *,
    engine: str,
    hardware_class: str,
    problems: list[Problem],
    release: Version | None = None,
) -> dict[str, CapabilityWork]:
    """The answers by id; an id without a row is added to `problems`.

    Of several rows the one for the engine's `release` answers, or the newest where that is unknown.
    """
    answers: dict[str, CapabilityWork] = {}
    for capability, files in asked.items():
        rows = rows_for(catalog.capabilities, capability, engine=engine, hardware_class=hardware_class)
        row = _row_for(rows, release)
        if row is None:
            what = f"asks for {capability!r}, which has no row for {engine} on {hardware_class}"
            hint = f"ci/catalog/capabilities.toml; {closest(capability, {row.id for row in catalog.capabilities})}"
            problems += [Problem(where=file, what=what, hint=hint) for file in files]
            continue
        answers[capability] = CapabilityWork(args=row.args, allowed=row.allowed, why=row.why, issue=row.issue)
    return answers


def rows_for(
    rows: Iterable[Capability], capability: str, *, engine: str, hardware_class: str
) -> tuple[Capability, ...]:
    """The rows of a capability for an engine and a class: one, or one for each range of versions."""
    return tuple(
        row for row in rows if (row.id, row.engine) == (capability, engine) and hardware_class in row.hardware
    )


def _row_for(rows: tuple[Capability, ...], release: Version | None) -> Capability | None:
    latest = newest([row.versions for row in rows]) if rows else ""
    return next(
        (
            row
            for row in rows
            if (row.versions == latest if release is None else span_of(row.versions).has(release))
        ),
        None,
    )


def unversioned_notes(
    catalog: Catalog, asked: Iterable[str], *, engine: str, hardware_class: str
) -> list[str]:
    """Which capabilities were answered by their newest row, since the engine's release is unknown."""
    notes = []
    for capability in asked:
        rows = rows_for(catalog.capabilities, capability, engine=engine, hardware_class=hardware_class)
        if len(rows) > 1:
            latest = newest([row.versions for row in rows])
            notes.append(
                f"{capability}: which release of {engine} will run is unknown, so its row for {latest} is used"
            )
    return notes


def left_out_notes(answers: Mapping[str, CapabilityWork], asked: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What no server of this plan has although a test asked, and why."""
    return [
        f"{' '.join(answer.args) or capability} is left out: {answer.why}"
        + (f" ({answer.issue})" if answer.issue else "")
        + f"; requested as {capability} by {', '.join(asked[capability])}"
        for capability, answer in answers.items()
        if not answer.allowed
    ]
